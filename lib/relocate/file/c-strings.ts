// Replaces prefixes in the C strings of programs and libraries without moving a byte that follows them: Spack's
// `(P1|P2|…)([^\0]{0,7}\0)?` and its rules (Spack `relocate_text.py`, BinaryFilePrefixReplacer). Linkers let strings
// with a common end share their bytes, so the last bytes of a string are only changed when enough of them become free.
import type { PrefixMap, PrefixPair } from "../prefix/prefix-map.ts";

/** How many bytes at the end of a string other strings may share. */
export const SAFETY_SIZE = 7;

/** How far a match may extend beyond its prefix: the preserved end and the NUL. */
export const LOOK_AHEAD: number = SAFETY_SIZE + 1;

/** Bytes to write over old ones. */
export interface Edit {
  readonly at: number;
  readonly bytes: Buffer;
}

/** A string that cannot be changed. */
export interface StuckString {
  readonly at: number;
  readonly pair: PrefixPair;
  /** `grow`: the new prefix is longer. `shrink`: it is shorter, but the end of the string may be shared. */
  readonly reason: "grow" | "shrink";
}

/**
 * How a string may change. `c-string`: as Spack changes those of programs. `pad`: only by slashes in front of the new
 * prefix, so that no string becomes shorter, which holds for every format that counts the bytes of its strings.
 */
export type StringRule = "c-string" | "pad";

/** One occurrence of a prefix: the edit or the reason why there is none, and where to continue. */
export type StringMatch = { readonly end: number } & (
  | { readonly edit: Edit; readonly stuck?: undefined }
  | { readonly stuck: StuckString; readonly edit?: undefined }
);

/**
 * The next occurrence that starts at or after `from` and before `before`. Because LOOK_AHEAD bytes after the prefix
 * matter, `before` may be the end of the buffer only at the end of the file.
 */
export function nextString(
  bytes: Buffer,
  map: PrefixMap,
  from: number,
  before: number,
  rule: StringRule = "c-string",
): StringMatch | undefined {
  const hit = map.find(bytes, from, before);
  if (hit === undefined) return undefined;
  const { at, pair } = hit;
  const oldEnd = at + pair.old.length;
  const nul = bytes.subarray(oldEnd, oldEnd + LOOK_AHEAD).indexOf(0);
  const end = nul < 0 ? oldEnd : oldEnd + nul + 1;
  const shorter = pair.old.length - pair.new.length;
  if (shorter < 0) return { end, stuck: { at, pair, reason: "grow" } };
  if (rule === "pad" || nul < 0 || nul >= SAFETY_SIZE || sameEnd(pair, SAFETY_SIZE - nul))
    return { end, edit: { at, bytes: Buffer.concat([Buffer.alloc(shorter, "/"), pair.new]) } };
  if (shorter > SAFETY_SIZE)
    return { end, edit: { at, bytes: Buffer.concat([pair.new, bytes.subarray(oldEnd, end)]) } };
  return { end, stuck: { at, pair, reason: "shrink" } };
}

// True if the last `length` bytes of both are equal, or all of them if there are fewer.
function sameEnd(pair: PrefixPair, length: number): boolean {
  const last = (bytes: Buffer): Buffer => bytes.subarray(Math.max(0, bytes.length - length));
  return last(pair.old).equals(last(pair.new));
}
