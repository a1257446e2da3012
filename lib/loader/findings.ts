// Collects findings: files with the same cause share one, with a message and a remedy.
import { type ByteString, shownName } from "../util/byte-string.ts";
import type { Finding, FindingCode, LibcReport } from "./finding.ts";
import { compareNumbers, highestGlibc, imageWithGlibc } from "./glibc-version.ts";
import type { ImageTree, TreeFile } from "./image-tree.ts";
import { folderOf, type LoadedObject, type MissingVersion } from "./loaded.ts";
import type { Packages } from "./packages.ts";

/** A missing library, and where files of its name lie. */
export interface LibraryGap {
  readonly severity: Finding["severity"];
  readonly file: TreeFile;
  readonly name: ByteString;
  readonly by: LoadedObject;
  readonly elsewhere: readonly TreeFile[];
}

/** A library that came from the base. */
export interface FromBase {
  readonly file: TreeFile;
  readonly name: ByteString;
  readonly by: LoadedObject;
  readonly base: TreeFile;
  readonly spec: TreeFile;
}

// A finding without what its position in the collection gives.
interface Draft extends Omit<Finding, "package" | "file" | "files" | "neededBy"> {
  /** Files whose findings have the same key share one. */
  readonly key: string;
  readonly neededBy?: ByteString | undefined;
}

/** The findings of one check. */
export class Findings {
  readonly #tree: ImageTree;
  readonly #packages: Packages;
  readonly #byKey = new Map<string, { finding: Finding; files: Set<ByteString> }>();

  constructor(tree: ImageTree, packages: Packages) {
    this.#tree = tree;
    this.#packages = packages;
  }

  /** Errors first; those that concern most files first. */
  all(): Finding[] {
    return [...this.#byKey.values()]
      .map(({ finding, files }) => ({ ...finding, files: files.size }))
      .sort((a, b) => rank(a) - rank(b) || b.files - a.files || (a.file < b.file ? -1 : 1));
  }

  /** A program of another architecture. */
  foreign(file: TreeFile, architecture: string): void {
    this.#add(file, {
      severity: "error",
      code: "ARCHITECTURE",
      key: this.#packages.nameOf(file),
      subject: architecture,
      required: undefined,
      found: undefined,
      message: `${this.#about(file)} is for another architecture than the image, ${architecture}`,
      fix: "push the specs of each architecture as an image of its own",
    });
  }

  /** The loader that a program names is missing. */
  noInterpreter(file: TreeFile, interpreter: ByteString, libc: LibcReport | undefined): void {
    const has = libc === undefined ? "it has no C library" : `its C library is ${libc.kind}`;
    this.#add(file, {
      severity: "error",
      code: "INTERPRETER_MISSING",
      key: interpreter,
      subject: interpreter,
      required: undefined,
      found: libc?.kind,
      message: `${this.#about(file)} needs the loader ${shownName(interpreter)}, which is not in the image: ${has}`,
      fix: isMusl(interpreter)
        ? "use a base image with musl, for example alpine:3"
        : "use a base image with glibc, for example debian:12-slim",
    });
  }

  /** A library is missing. */
  noLibrary({ severity, file, name, by, elsewhere }: LibraryGap): void {
    const [other] = elsewhere;
    const needs = by.file.path === file.path ? "needs" : `needs, through ${shownName(by.file.path)},`;
    const where = other
      ? `; ${this.#packages.nameOf(other)} has it in ${shownName(folderOf(other.path))}, where it is not searched for`
      : ", which is nowhere in the image";
    this.#add(file, {
      severity,
      code: "LIBRARY_MISSING",
      key: `${name} ${this.#packages.nameOf(by.file)}`,
      neededBy: by.file.path,
      subject: name,
      required: undefined,
      found: other && shownName(other.path),
      message: `${this.#about(file)} ${needs} ${shownName(name)}${where}`,
      fix: this.#remedy(by, other),
    });
  }

  /** A required version is not defined. */
  noVersion({ severity, file, version, by, from }: MissingVersion & Pick<LibraryGap, "severity" | "file">): void {
    const defines = from.facts.defines ?? [];
    const needed = highestGlibc([version]);
    const has = from.facts.release ?? highestGlibc(defines);
    if (needed !== undefined && has !== undefined) {
      this.#oldLibc({ severity, file, by, needed, has });
      return;
    }
    const library = shownName(from.file.path);
    const isPrivate = version.endsWith("_PRIVATE");
    this.#add(file, {
      severity,
      code: "VERSION_MISSING",
      key: `${version} ${from.file.path} ${this.#packages.nameOf(by.file)}`,
      neededBy: by.file.path,
      subject: library,
      required: version,
      found: sameFamily(defines, version),
      message: `${this.#about(file)} needs version ${shownName(version)} of ${library}, which does not define it`,
      fix: isPrivate
        ? "use the base image that the specs were built on: private versions belong to one build of the library"
        : `put the ${shownName(nameIn(from.file.path))} that ${this.#packages.nameOf(by.file)} was built with into the image`,
    });
  }

  /** A library of the base hides that of a spec. */
  fromBase({ file, name, by, base, spec }: FromBase): void {
    const owner = this.#packages.nameOf(spec);
    this.#add(file, {
      severity: "warning",
      code: "FOUND_IN_BASE",
      key: `${name} ${this.#packages.nameOf(by.file)}`,
      neededBy: by.file.path,
      subject: name,
      required: shownName(spec.path),
      found: shownName(base.path),
      message: `${this.#about(file)} loads ${shownName(base.path)} of the base image, although ${owner} has ${shownName(name)}`,
      fix: `check that ${this.#packages.nameOf(by.file)} was built against ${owner}; its search path does not lead there`,
    });
  }

  /** The interpreter of a script is missing. If the system should provide it, a warning: the script may be unused. */
  noScriptInterpreter(file: TreeFile, interpreter: ByteString): void {
    const isOurs = /-[a-z2-7]{32}\//.test(interpreter);
    const isSbang = interpreter.endsWith("/bin/sbang");
    const elsewhere = isSbang
      ? "start the script with its interpreter: Spack keeps sbang outside all prefixes, so images lack it"
      : "use a base image that has it, or add the package to the environment";
    this.#add(file, {
      severity: isOurs ? "error" : "warning",
      code: "SCRIPT_INTERPRETER_MISSING",
      key: interpreter,
      subject: interpreter,
      required: undefined,
      found: undefined,
      message: `the script ${this.#about(file)} needs ${shownName(interpreter)}, which is not in the image`,
      fix: isOurs ? "add the spec that has it to the image" : elsewhere,
    });
  }

  // All files that need a newer glibc share one finding, which names the newest.
  #oldLibc(gap: {
    severity: Finding["severity"];
    file: TreeFile;
    by: LoadedObject;
    needed: string;
    has: string;
  }): void {
    const { severity, file, by, needed, has } = gap;
    const image = imageWithGlibc(needed);
    const needs = by.file.path === file.path ? "needs" : `needs, through ${shownName(by.file.path)},`;
    const draft: Draft = {
      severity,
      code: "LIBC_TOO_OLD",
      key: "",
      neededBy: by.file.path,
      subject: "glibc",
      required: `GLIBC_${needed}`,
      found: `GLIBC_${has}`,
      message: `${this.#about(file)} ${needs} glibc ${needed}, but the image has ${has}`,
      fix: `use a base image with glibc ${needed} or later${image === undefined ? "" : `, for example ${image}`}`,
    };
    const there = this.#byKey.get(keyOf(draft));
    const before = there?.finding.required?.slice("GLIBC_".length);
    if (there && before !== undefined && compareNumbers(before, needed) < 0) there.finding = this.#finding(file, draft);
    this.#add(file, draft);
  }

  #add(file: TreeFile, draft: Draft): void {
    const key = keyOf(draft);
    const there = this.#byKey.get(key);
    if (there) there.files.add(file.path);
    else this.#byKey.set(key, { finding: this.#finding(file, draft), files: new Set([file.path]) });
  }

  #finding(file: TreeFile, { key: _, neededBy, ...rest }: Draft): Finding {
    const isOther = neededBy !== undefined && neededBy !== file.path;
    return {
      ...rest,
      subject: shownName(rest.subject),
      package: this.#packages.nameOf(file),
      file: shownName(file.path),
      files: 1,
      neededBy: isOther ? shownName(neededBy) : undefined,
    };
  }

  #about(file: TreeFile): string {
    return `${shownName(nameIn(file.path))} of ${this.#packages.nameOf(file)}`;
  }

  #remedy(by: LoadedObject, other: TreeFile | undefined): string {
    if (other)
      return `add ${shownName(folderOf(other.path))} to LD_LIBRARY_PATH, or rebuild ${this.#packages.nameOf(by.file)}`;
    const gone = this.#missingPrefix(by);
    if (gone !== undefined) return `add ${gone} to the image: its folder is searched, and it is not there`;
    return "use a base image that has it, or add the spec that has it to the environment";
  }

  // A prefix in the search path whose folder is not in the image.
  #missingPrefix({ facts }: LoadedObject): string | undefined {
    for (const folder of (facts.runpath ?? facts.rpath ?? "").split(":")) {
      const found = /^(\/.*\/([^/]+-[a-z2-7]{32}))(?:\/|$)/.exec(folder);
      if (found?.[1] !== undefined && !this.#tree.hasFolder(found[1])) return shownName(found[2] ?? "");
    }
    return undefined;
  }
}

const RANK: Record<FindingCode, number> = {
  INTERPRETER_MISSING: 0,
  LIBC_TOO_OLD: 1,
  ARCHITECTURE: 2,
  LIBRARY_MISSING: 3,
  VERSION_MISSING: 4,
  SCRIPT_INTERPRETER_MISSING: 5,
  FOUND_IN_BASE: 6,
};

function rank({ severity, code }: Finding): number {
  return (severity === "error" ? 0 : 10) + RANK[code];
}

function keyOf({ severity, code, key }: Draft): string {
  return `${severity} ${code} ${key}`;
}

function isMusl(interpreter: ByteString): boolean {
  return interpreter.includes("ld-musl");
}

function nameIn(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1);
}

// The highest version of the same family that is defined: for GLIBCXX_3.4.31 another GLIBCXX.
function sameFamily(defines: readonly ByteString[], version: ByteString): string | undefined {
  const family = /^[A-Z]\w*_(?=\d)/.exec(version)?.[0];
  if (family === undefined) return undefined;
  const numbers = defines.flatMap((one) => (one.startsWith(family) ? one.slice(family.length) : []));
  const highest = numbers
    .filter((one) => /^[\d.]+$/.test(one))
    .toSorted(compareNumbers)
    .at(-1);
  return highest === undefined ? undefined : `${family}${highest}`;
}
