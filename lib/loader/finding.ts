// What a check finds, as plain data for reports.

/** What is wrong: each has one remedy. */
export type FindingCode =
  /** The dynamic loader that a program names is not in the image. */
  | "INTERPRETER_MISSING"
  /** A library is found nowhere. */
  | "LIBRARY_MISSING"
  /** The C library of the base is older than the one that a program was linked with. */
  | "LIBC_TOO_OLD"
  /** Another library lacks a version that is required of it. */
  | "VERSION_MISSING"
  /** A program is for another architecture than the image. */
  | "ARCHITECTURE"
  /** A library comes from the base although a spec of the image has it. */
  | "FOUND_IN_BASE"
  /** The interpreter of a script is not in the image. */
  | "SCRIPT_INTERPRETER_MISSING";

/** One finding. Files with the same cause share it. */
export interface Finding {
  /** An error: a program does not start. A warning: something may fail later, or is not as it was built. */
  severity: "error" | "warning";
  code: FindingCode;
  /** The package with the file: `name@version/hash`, the folder of its prefix, or the layer's number. */
  package: string;
  /** The first file with this finding. */
  file: string;
  /** How many files have it. */
  files: number;
  /** The library, interpreter or version that is missing, or that was found in the base. */
  subject: string;
  /** The object that asks for it, if that is not the file itself. */
  neededBy: string | undefined;
  /** What was required and what is there, for versions: `GLIBC_2.36`, `GLIBC_2.31`. */
  required: string | undefined;
  found: string | undefined;
  /** One sentence. */
  message: string;
  /** What to do about it. */
  fix: string | undefined;
}

/** How many files were checked. */
export interface CheckedCounts {
  programs: number;
  libraries: number;
  scripts: number;
  /** ELF files whose headers could not be read. */
  unread: number;
}

/** The C library of an image. */
export interface LibcReport {
  kind: "glibc" | "musl";
  /** Its version, for glibc. */
  version: string | undefined;
}
