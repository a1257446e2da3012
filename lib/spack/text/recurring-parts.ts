// Parts of nodes that recur: an entry of a list of dependencies is the same in most nodes that have the dependency, and
// an environment has few architectures. They are parsed once, and all nodes share one frozen object.
import { freeze } from "./json-exact.ts";
import type { JsonObject } from "./json-value.ts";

/** Longer objects are not looked up: the description of an architecture has about 1 000 characters. */
const LONGEST = 4096;
/** The bounds on how many places a memory has; a part takes the place of the last one with the same hash. */
const FEWEST_PLACES = 64;
const MOST_PLACES = 32_768;
/** How many characters of parts are remembered: enough for tens of thousands of dependencies. */
const MOST_PARTS = 4 * 1024 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The place of an object in a text, and a hash of it. */
export interface Extent {
  readonly end: number;
  readonly hash: number;
}

interface Part {
  readonly text: string;
  /** The depth at which it was found: at a deeper level it could exceed the limit. */
  readonly depth: number;
  readonly value: JsonObject;
}

/** True for objects that may recur: the items of the list `dependencies` and the member `arch` of a node. */
export function isPart(key: string | number | undefined): boolean {
  return key === "dependencies" || key === "arch";
}

/**
 * Finds the end of the object that begins at `at`. Undefined if it is longer than any part, or has strings with escapes.
 */
export function extentOf(codes: Uint8Array | Uint16Array, at: number): Extent | undefined {
  const last = Math.min(codes.length, at + LONGEST);
  let open = 0;
  let isString = false;
  let hash = 0;
  for (let index = at; index < last; index++) {
    const code = codes[index] ?? 0;
    hash = (Math.imul(hash, 31) + code) | 0;
    if (code === QUOTE) isString = !isString;
    else if (code === BACKSLASH) return undefined;
    else if (isString) continue;
    else if (code === OPEN_OBJECT) open++;
    else if (code === CLOSE_OBJECT && --open === 0) return { end: index + 1, hash: hash ^ (hash >>> 15) };
  }
  return undefined;
}

/** Remembers parts by their text. There is one place per hash, so that no input can make it slow or large. */
export class RecurringParts {
  readonly #places: (Part | undefined)[];
  #size = 0;

  /** `length` is that of all texts in which parts will be looked up, in characters, if it is known. */
  constructor(length = Number.POSITIVE_INFINITY) {
    const places = 2 ** Math.ceil(Math.log2(Math.min(MOST_PLACES, Math.max(FEWEST_PLACES, length / 256))));
    this.#places = new Array<Part | undefined>(places).fill(undefined);
  }

  /** The object that begins at `at`, frozen, if the same text was added. */
  find(text: string, at: number, { end, hash }: Extent, depth: number): JsonObject | undefined {
    const part = this.#places[hash & (this.#places.length - 1)];
    const isSame =
      part !== undefined && part.depth >= depth && part.text.length === end - at && text.startsWith(part.text, at);
    if (!isSame) return undefined;
    freeze(part.value);
    return part.value;
  }

  /** Remembers an object that was read from `text`. */
  add(text: string, { hash }: Extent, depth: number, value: JsonObject): void {
    if (this.#size > MOST_PARTS) {
      this.#places.fill(undefined);
      this.#size = 0;
    }
    this.#size += text.length;
    // A copy: a slice would keep the whole document in memory.
    this.#places[hash & (this.#places.length - 1)] = { text: ` ${text}`.slice(1), depth, value };
  }
}
