// Replaces prefixes in text piece by piece, so that text of any size needs the memory of one piece. The result is that
// of Spack's `(?<![\w\-_/])([\w\-_]*?)(P1|P2|…)([\w\-_/]*)` (Spack `relocate_text.py`): a prefix counts if no slash
// precedes it, even with a word in between, and the rest of its path is left alone.
import { endsAfterSlash, IS_WORD } from "../../image/archive/prefix-search.ts";
import type { PrefixHit, PrefixMap } from "../prefix/prefix-map.ts";

const SLASH = 0x2f;

/** The replacement of one text. */
export class TextRelocation {
  readonly #map: PrefixMap;
  // Input that is still undecided: a prefix may start in it.
  #rest: Buffer = Buffer.alloc(0);
  // True if the word before the rest follows a slash.
  #afterSlash = false;
  // True if the rest starts inside a path whose prefix was replaced.
  #inPath = false;
  #changed = false;
  // How long the text is so far, and may be.
  #size = 0;
  readonly #most: number;

  /** `most`: how many bytes the text may come to. */
  constructor(map: PrefixMap, most: number = Number.POSITIVE_INFINITY) {
    this.#map = map;
    this.#most = most;
  }

  /** True if anything was replaced so far. */
  get changed(): boolean {
    return this.#changed;
  }

  /** How many bytes were given and are not in what was returned. */
  get pending(): number {
    return this.#rest.length;
  }

  /**
   * Takes the next piece and returns the decided part of the text; after the last piece, all of it. Throws TextTooLong
   * before any output if the whole text would exceed its limit.
   */
  push(piece: Buffer, isLast: boolean): Buffer {
    const { bytes, end, hits, size } = this.#decide(piece, isLast);
    if (hits.length === 0) return bytes.subarray(0, end);
    const out = Buffer.allocUnsafe(size);
    let [copied, length] = [0, 0];
    for (const { at, pair } of hits) {
      length += bytes.copy(out, length, copied, at);
      length += pair.new.copy(out, length);
      copied = at + pair.old.length;
    }
    bytes.copy(out, length, copied, end);
    return out;
  }

  /** Like push, but returns only the length of the text. */
  measure(piece: Buffer, isLast: boolean): number {
    return this.#decide(piece, isLast).size;
  }

  #decide(piece: Buffer, isLast: boolean): Decided {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    const decided = isLast ? bytes.length : Math.max(0, bytes.length - this.#map.longest + 1);
    const hits: PrefixHit[] = [];
    let copied = 0;
    let grown = 0;
    // Where the path of the last replacement ends.
    let pathEnd = this.#inPath ? endOfPath(bytes, 0) : -1;
    let from = Math.max(0, pathEnd);
    for (let hit = this.#map.find(bytes, from, decided); hit; hit = this.#map.find(bytes, from, decided)) {
      if (endsAfterSlash(bytes, hit.at, this.#afterSlash)) {
        from = hit.at + 1;
        continue;
      }
      hits.push(hit);
      grown += hit.pair.new.length - hit.pair.old.length;
      if (this.#size + hit.at + grown > this.#most) throw new TextTooLong();
      copied = hit.at + hit.pair.old.length;
      pathEnd = endOfPath(bytes, copied);
      from = pathEnd;
      this.#changed = true;
    }
    const end = Math.max(copied, decided);
    this.#inPath = pathEnd >= end;
    this.#afterSlash = endsAfterSlash(bytes, end, this.#afterSlash);
    // The caller owns the piece.
    this.#rest = Buffer.from(bytes.subarray(end));
    const size = end + grown;
    this.#size += size;
    return { bytes, end, hits, size };
  }
}

// What of a piece is decided: up to `end`, and `size` bytes when everything is replaced.
interface Decided {
  readonly bytes: Buffer;
  readonly end: number;
  readonly hits: readonly PrefixHit[];
  readonly size: number;
}

/** Thrown if a text would exceed its size limit. */
export class TextTooLong extends Error {}

// The end of the run of [A-Za-z0-9_/-] that begins at a place.
function endOfPath(bytes: Buffer, from: number): number {
  let at = from;
  for (let byte = bytes[at]; byte !== undefined && (byte === SLASH || IS_WORD[byte] === 1); byte = bytes[at]) at++;
  return at;
}
