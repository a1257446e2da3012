// Parts of nodes that recur: an entry of a list of dependencies is the same in most nodes that have the dependency, and
// an environment has few architectures. They are parsed once, and all nodes share one frozen object.
import { freeze } from "./json-exact.ts";
import type { JsonObject } from "./json-value.ts";
import { ownText } from "./own-text.ts";

/** Longer objects are not looked up: the description of an architecture has about 1 000 characters. */
const LONGEST = 4096;
/** The bounds on the number of slots. A new part replaces the one in its slot. */
const FEWEST_SLOTS = 64;
const MOST_SLOTS = 32_768;
/** How many characters and values are kept, enough for tens of thousands of dependencies; then all are forgotten. */
const MOST_CHARACTERS = 4 * 1024 * 1024;
const MOST_VALUES = 256 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The end of an object in a text, and a hash of its characters. */
export interface Extent {
  readonly end: number;
  readonly hash: number;
}

/** An object, and the text that it was read from. */
export interface Part {
  readonly text: string;
  /** The depth at which it was found: at a deeper level it could exceed the limit. */
  readonly depth: number;
  readonly value: JsonObject;
  /** The number of values in it, itself included. */
  readonly values: number;
}

/** What parts are remembered of, and how many. */
export interface RecurringPartsOptions {
  /** The characters of all texts to be parsed, if known; there is a slot for every 256. */
  readonly length?: number | undefined;
  /** The most characters to remember. Default: 4 Mi. */
  readonly most?: number | undefined;
}

/** True for objects that often recur: `arch`, and the items of `dependencies`. `key` is that of the member or list. */
export function isRecurringPart(key: string | number | undefined): boolean {
  return key === "dependencies" || key === "arch";
}

/**
 * Finds the end of the object that begins at `at`. Undefined if it is longer than any part, does not end, or has a
 * backslash: escapes are not read here.
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

/** Remembers parts by their text, one for each hash value, so that no input makes lookups slow or the table large. */
export class RecurringParts {
  readonly #slots: (Part | undefined)[];
  readonly #most: number;
  #characters = 0;
  #values = 0;

  constructor({ length = Number.POSITIVE_INFINITY, most = MOST_CHARACTERS }: RecurringPartsOptions = {}) {
    const slots = 2 ** Math.ceil(Math.log2(Math.min(MOST_SLOTS, Math.max(FEWEST_SLOTS, length / 256))));
    this.#slots = new Array<Part | undefined>(slots).fill(undefined);
    this.#most = most;
  }

  /** The object that begins at `at`, frozen, if the same text was added. */
  find(text: string, at: number, { end, hash }: Extent, depth: number): Part | undefined {
    const part = this.#slots[this.#slotOf(hash)];
    const isSame =
      part !== undefined && part.depth >= depth && part.text.length === end - at && text.startsWith(part.text, at);
    return isSame ? part : undefined;
  }

  /** Remembers an object, and freezes it. */
  add({ hash }: Extent, { text, depth, value, values }: Part): void {
    freeze(value);
    const slot = this.#slotOf(hash);
    const replaced = this.#slots[slot];
    this.#characters += text.length - (replaced?.text.length ?? 0);
    this.#values += values - (replaced?.values ?? 0);
    if (this.#characters > this.#most || this.#values > MOST_VALUES) {
      this.#slots.fill(undefined);
      this.#characters = text.length;
      this.#values = values;
    }
    // A copy: a slice would keep the whole document in memory.
    this.#slots[slot] = { text: ownText(text), depth, value, values };
  }

  #slotOf(hash: number): number {
    return hash & (this.#slots.length - 1);
  }
}
