// Detects whether a file contains an old prefix anywhere: one that relocation left or could not know about. An old
// prefix that is part of a new one does not count.
import type { PrefixMap } from "./prefix-map.ts";

/** A search through one file; pieces are given in order and not kept. */
export class PathSearch {
  readonly #map: PrefixMap;
  // New prefixes that contain an old one, with its offset.
  readonly #nested: readonly { bytes: Buffer; at: number }[];
  readonly #reach: number;
  // The end of the input so far, and the offset in it from which the search continues.
  #tail: Buffer = Buffer.alloc(0);
  #from = 0;
  #found = false;

  constructor(map: PrefixMap) {
    this.#map = map;
    this.#nested = map.pairs.flatMap(({ new: bytes }) => {
      const places: { bytes: Buffer; at: number }[] = [];
      for (let hit = map.find(bytes, 0); hit; hit = map.find(bytes, hit.at + 1)) places.push({ bytes, at: hit.at });
      return places;
    });
    this.#reach = this.#nested.reduce((reach, { bytes }) => Math.max(reach, bytes.length), map.longest);
  }

  /** True once an old prefix was found. */
  get found(): boolean {
    return this.#found;
  }

  /** Searches the next piece and the boundary before it. */
  add(piece: Buffer, isLast: boolean): void {
    if (this.#found) return;
    const bytes = this.#tail.length === 0 ? piece : Buffer.concat([this.#tail, piece]);
    const before = isLast ? bytes.length : Math.max(this.#from, bytes.length - this.#reach);
    for (let hit = this.#map.find(bytes, this.#from, before); hit; hit = this.#map.find(bytes, hit.at + 1, before))
      if (!this.#isNew(bytes, hit.at)) {
        this.#found = true;
        return;
      }
    if (isLast) return;
    const start = Math.max(0, before - this.#reach);
    this.#tail = Buffer.from(bytes.subarray(start));
    this.#from = before - start;
  }

  #isNew(bytes: Buffer, at: number): boolean {
    return this.#nested.some((nested) => {
      const start = at - nested.at;
      return start >= 0 && bytes.subarray(start, start + nested.bytes.length).equals(nested.bytes);
    });
  }
}
