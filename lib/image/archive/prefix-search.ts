// Finds whether a file contains any of several prefixes, in one pass over its pieces: Spack's regular expression
// `(?<![\w\-_/])([\w\-_]*?)(P1|P2|…)` on bytes (Spack `relocate_text.py`), without decoding.
import { bytesOfText } from "../../util/byte-string.ts";

/**
 * The prefixes as bytes, without those that start with another one: a match of the longer is also one of the shorter,
 * and what follows a match does not matter. In practice only the install root remains.
 */
export function searchTerms(prefixes: Iterable<string>): Buffer[] {
  const sorted = [...new Set(Array.from(prefixes, bytesOfText))].filter((prefix) => prefix !== "").sort();
  const kept: string[] = [];
  for (const prefix of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !prefix.startsWith(last)) kept.push(prefix);
  }
  return kept.map((prefix) => Buffer.from(prefix, "latin1"));
}

/** True if a link's target starts with one of the terms. */
export function beginsWithTerm(target: Buffer, terms: readonly Buffer[]): boolean {
  return terms.some((term) => target.subarray(0, term.length).equals(term));
}

const SLASH = 0x2f;

/** By byte, 1 for [A-Za-z0-9_-]: what may stand between the start of a compiler flag and the path in it. */
export const IS_WORD: Uint8Array = new Uint8Array(256);
for (let code = 0; code < 256; code++) IS_WORD[code] = /[\w-]/.test(String.fromCharCode(code)) && code < 128 ? 1 : 0;

/** A search through one file; pieces are given in order and not kept. */
export class PrefixSearch {
  readonly #terms: readonly Buffer[];
  readonly #reach: number;
  // The last bytes of the input, one less than the longest term has.
  #tail: Buffer = Buffer.alloc(0);
  // True if the word that ends just before the tail, or before the current piece, follows a slash.
  #tailAfterSlash = false;
  #found = false;

  constructor(terms: readonly Buffer[]) {
    this.#terms = terms;
    this.#reach = terms.reduce((reach, term) => Math.max(reach, term.length - 1), 0);
  }

  /** True once a term was found. */
  get found(): boolean {
    return this.#found;
  }

  /** Searches the next piece and the boundary before it. */
  add(piece: Buffer): void {
    if (this.#found) return;
    if (this.#tail.length > 0) {
      const joint = Buffer.concat([this.#tail, piece.subarray(0, this.#reach)]);
      if (this.#searchIn(joint, this.#tailAfterSlash)) return;
    }
    const afterSlash = endsAfterSlash(this.#tail, this.#tail.length, this.#tailAfterSlash);
    if (this.#searchIn(piece, afterSlash)) return;
    const whole = piece.length >= this.#reach ? piece : Buffer.concat([this.#tail, piece]);
    const wholeAfterSlash = piece.length >= this.#reach ? afterSlash : this.#tailAfterSlash;
    const from = Math.max(0, whole.length - this.#reach);
    this.#tailAfterSlash = endsAfterSlash(whole, from, wholeAfterSlash);
    this.#tail = Buffer.from(whole.subarray(from));
  }

  #searchIn(bytes: Buffer, afterSlash: boolean): boolean {
    for (const term of this.#terms)
      for (let at = bytes.indexOf(term); at >= 0; at = bytes.indexOf(term, at + 1))
        if (!endsAfterSlash(bytes, at, afterSlash)) {
          this.#found = true;
          return true;
        }
    return false;
  }
}

/**
 * True if the word that ends before `end` (possibly empty) follows a slash; `before` is the answer for the start of
 * `bytes`. Prefixes contain a slash, so the words before two of them never overlap and the work is linear.
 */
export function endsAfterSlash(bytes: Buffer, end: number, before: boolean): boolean {
  let at = end - 1;
  while (at >= 0 && IS_WORD[bytes[at] ?? 0] === 1) at--;
  return at < 0 ? before : bytes[at] === SLASH;
}
