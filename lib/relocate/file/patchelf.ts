// Enlarges paths in ELF headers with the program `patchelf`. It works on a copy, which is checked before it replaces
// the original, so a failure changes nothing.
import { spawn } from "node:child_process";
import { fstatSync, readSync, writeSync } from "node:fs";
import { StaveError } from "../../errors.ts";
import { shownName } from "../../util/byte-string.ts";
import type { HeldTree } from "../../util/held-tree.ts";
import { readElfPaths } from "./elf-reader.ts";
import { OpenFile } from "./open-file.ts";

/** Finds the program; undefined if there is none. */
export type FindPatchelf = () => string | undefined;

/** The new values; undefined keeps the old one. */
export interface NewPaths {
  readonly rpath: Buffer | undefined;
  readonly interpreter: Buffer | undefined;
}

const COPY_PIECE = 1 << 20;
const LONGEST_OUTPUT = 2000;

/**
 * Sets the search path and interpreter of an opened file, whose names and mode stay; the copy is made in `tree`. As in
 * Spack, a RUNPATH becomes an RPATH. Throws RELOCATION_FAILED if the program fails or its output is wrong.
 */
export async function patchHeaders(
  file: OpenFile,
  paths: NewPaths,
  program: string,
  tree: HeldTree,
  signal?: AbortSignal,
): Promise<void> {
  using copy = tree.temporary();
  const args: string[] = [];
  if (paths.rpath !== undefined) args.push("--force-rpath", "--set-rpath", paths.rpath.toString("utf8"));
  if (paths.interpreter !== undefined) args.push("--set-interpreter", paths.interpreter.toString("utf8"));
  copyOut(file, copy.descriptor);
  await run(file, program, [...args, copy.path], copy.descriptor, signal);
  copyBack(file, copy.descriptor, paths);
}

/** The program, for a file whose headers must grow. Throws RELOCATION_FAILED if there is none. */
export function programFor(file: OpenFile, find: FindPatchelf): string {
  const program = find();
  if (program !== undefined) return program;
  throw failed(file, "its search path or interpreter must become longer, which takes the program patchelf", {
    hint: "install patchelf, or choose a shorter root",
  });
}

function failed(file: OpenFile, why: string, more: { hint?: string; cause?: unknown } = {}): StaveError {
  const shown = shownName(file.path);
  return new StaveError("RELOCATION_FAILED", `cannot relocate ${shown}: ${why}`, { subject: shown, ...more });
}

function run(file: OpenFile, program: string, args: string[], descriptor: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe", descriptor],
      ...(signal ? { signal } : {}),
    });
    let output = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      if (output.length < LONGEST_OUTPUT) output += chunk.toString("latin1");
    });
    child.on("error", (cause) => {
      if (signal?.aborted) reject(signal.reason);
      else reject(failed(file, `${program} cannot be run: ${cause.message}`, { cause }));
    });
    child.on("close", (status) => {
      if (status === 0) return resolve();
      const said = shownName(output.trim().slice(0, LONGEST_OUTPUT));
      reject(failed(file, `${program} ended with status ${status}${said === "" ? "" : `: ${said}`}`));
    });
  });
}

function copyOut(file: OpenFile, copy: number): void {
  const piece = Buffer.allocUnsafe(COPY_PIECE);
  for (let at = 0, size = file.read(piece, 0); size > 0; at += size, size = file.read(piece, at))
    for (let done = 0; done < size; ) done += writeSync(copy, piece, done, size - done, at + done);
}

function copyBack(file: OpenFile, copy: number, wanted: NewPaths): void {
  const { size } = fstatSync(copy);
  const found = readElfPaths(new OpenFile(copy, file.path, true));
  const isAsWanted = (value: Buffer | undefined, want: Buffer | undefined): boolean =>
    want === undefined || value?.equals(want) === true;
  if (!isAsWanted(found?.rpath?.value, wanted.rpath) || !isAsWanted(found?.interpreter?.value, wanted.interpreter))
    throw failed(file, "patchelf did not set the paths that it was given");
  const piece = Buffer.allocUnsafe(COPY_PIECE);
  for (let at = 0; ; ) {
    const got = readSync(copy, piece, 0, piece.length, at);
    if (got === 0) break;
    file.write(piece.subarray(0, got), at);
    at += got;
  }
  file.truncate(size);
}
