// Objects that recur from one document to the next. Each image and each installed prefix holds the whole DAG of its
// spec, so that the same few nodes are in hundreds of documents. They are parsed, checked and written once.
import { exactOf, freeze } from "./json-exact.ts";
import type { JsonObject } from "./json-value.ts";
import { writeJson } from "./json-writer.ts";

/** Objects are looked up by this many first characters. */
const START = 96;
/** How many different objects with the same start are remembered; those found again move to the front. */
const MOST_ALIKE = 8;
/** Shorter objects are parsed as quickly as they are found, longer ones are not nodes. */
const SHORTEST = 256;
const LONGEST = 64 * 1024;
/** How many characters of objects are remembered; then the memory starts again. */
const MOST_REMEMBERED = 2 * 1024 * 1024;

/**
 * True for what may recur: the items of the list `nodes` of a spec file, and the member `spec` of a record of a
 * database. `depth` is that of the list, or of the object with the member.
 */
export function isRecurring(key: string | number | undefined, depth: number): boolean {
  return key === "nodes" || (key === "spec" && depth > 1);
}

interface Remembered {
  readonly text: string;
  /** The depth at which it was found: at a deeper level it could exceed the limit. */
  readonly depth: number;
  readonly value: JsonObject;
}

/** Shares objects between the documents that are parsed with it. */
export class Recurring {
  readonly #known = new Map<string, Remembered[]>();
  readonly #same: (value: JsonObject) => JsonObject | undefined;
  #size = 0;

  /** `same` finds an object that is in memory anyway, and is shared if it is written as the one that was read. */
  constructor(same: (value: JsonObject) => JsonObject | undefined = () => undefined) {
    this.#same = same;
  }

  /** The object whose text begins at `at`, and the length of that text. */
  find(text: string, at: number, depth: number): { readonly value: JsonObject; readonly length: number } | undefined {
    const alike = this.#known.get(text.slice(at, at + START)) ?? [];
    for (let place = 0; place < alike.length; place++) {
      const one = alike[place];
      if (one === undefined || one.depth < depth || text.slice(at, at + one.text.length) !== one.text) continue;
      const before = alike[place - 1];
      if (before !== undefined) {
        alike[place - 1] = one;
        alike[place] = before;
      }
      return { value: one.value, length: one.text.length };
    }
    return undefined;
  }

  /** Remembers an object, which is frozen, by the text it was read from. Returns the one to use. */
  add(text: string, depth: number, made: JsonObject): JsonObject {
    if (text.length < SHORTEST || text.length > LONGEST) return made;
    const other = this.#same(made);
    const value = other !== undefined && writeJson(other) === text ? other : made;
    if (this.#size > MOST_REMEMBERED) {
      this.#known.clear();
      this.#size = 0;
    }
    freeze(value);
    // Copies: a slice would keep the whole document in memory.
    const read = ` ${text}`.slice(1);
    const start = ` ${text.slice(0, START)}`.slice(1);
    exactOf(value).text = { read };
    const alike = this.#known.get(start);
    if (alike === undefined) this.#known.set(start, [{ text: read, depth, value }]);
    else {
      if (alike.length === MOST_ALIKE) alike.pop();
      alike.push({ text: read, depth, value });
    }
    this.#size += text.length;
    return value;
  }
}
