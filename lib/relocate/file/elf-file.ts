// Relocates the search path and the interpreter in the headers of one ELF file (Spack `util/elf.py`,
// substitute_rpath_and_pt_interp_in_place_or_raise).

import type { PrefixMap } from "../prefix/prefix-map.ts";
import { type ElfString, readElfPaths } from "./elf-reader.ts";
import type { OpenFile } from "./open-file.ts";
import type { NewPaths } from "./patchelf.ts";
import type { Range } from "./string-file.ts";

/** The result of relocating the headers of a file. */
export type ElfOutcome =
  /** No old prefix occurs, or it is not an ELF file with paths. */
  | { readonly kind: "same" }
  /** The new strings were written over the old ones. */
  | { readonly kind: "changed" }
  /** A string must grow; nothing was changed. */
  | { readonly kind: "grow"; readonly paths: NewPaths };

/** Replaces the paths in the headers when the new ones are not longer; the kind of search path stays. */
export function relocateElfFile(file: OpenFile, map: PrefixMap): ElfOutcome {
  const paths = readElfPaths(file);
  const rpath = paths?.rpath && replaceItems(paths.rpath.value, map);
  const interpreter = paths?.interpreter && map.replaceStart(paths.interpreter.value);
  if (rpath === undefined && interpreter === undefined) return { kind: "same" };
  const fits = (value: Buffer | undefined, old: ElfString | undefined): boolean =>
    value === undefined || value.length <= (old?.value.length ?? 0);
  if (!fits(rpath, paths?.rpath) || !fits(interpreter, paths?.interpreter))
    return { kind: "grow", paths: { rpath, interpreter } };
  overwrite(file, paths?.rpath, rpath);
  overwrite(file, paths?.interpreter, interpreter);
  return { kind: "changed" };
}

/** The ranges of the header strings in the file. */
export function elfRanges(file: OpenFile): Range[] {
  const paths = readElfPaths(file);
  return [paths?.rpath, paths?.interpreter].flatMap((string) =>
    string === undefined ? [] : [{ start: string.offset, end: string.offset + string.value.length }],
  );
}

/** Clears the header strings in a dry run: patchelf would have moved them. */
export function forgetElfPaths(file: OpenFile, { rpath, interpreter }: NewPaths): void {
  const paths = readElfPaths(file);
  const nothing = Buffer.alloc(0);
  overwrite(file, paths?.rpath, rpath && nothing);
  overwrite(file, paths?.interpreter, interpreter && nothing);
}

/** Drops items of the search path in place (items are separated by colons). Returns true if any were dropped. */
export function dropRpathItems(file: OpenFile, isKept: (item: Buffer) => boolean): boolean {
  const rpath = readElfPaths(file)?.rpath;
  if (rpath === undefined) return false;
  const items = rpath.value.toString("latin1").split(":");
  const kept = items.filter((item) => isKept(Buffer.from(item, "latin1")));
  if (kept.length === items.length) return false;
  overwrite(file, rpath, Buffer.from(kept.join(":"), "latin1"));
  return true;
}

// An item matches by its start; empty items, which pad some files, are dropped.
function replaceItems(rpath: Buffer, map: PrefixMap): Buffer | undefined {
  let isChanged = false;
  const items = rpath
    .toString("latin1")
    .split(":")
    .filter((item) => item !== "");
  const replaced = items.map((item) => {
    const now = map.replaceStart(Buffer.from(item, "latin1"));
    isChanged ||= now !== undefined;
    return now?.toString("latin1") ?? item;
  });
  return isChanged ? Buffer.from(replaced.join(":"), "latin1") : undefined;
}

// Freed bytes are zeroed: they end the C string.
function overwrite(file: OpenFile, old: ElfString | undefined, value: Buffer | undefined): void {
  if (old === undefined || value === undefined) return;
  file.write(Buffer.concat([value, Buffer.alloc(old.value.length - value.length)]), old.offset);
}
