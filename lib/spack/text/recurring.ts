// Objects that recur from one document to the next. Each image and each installed prefix holds the whole DAG of its
// spec, so that the same few nodes are in hundreds of documents. They are parsed, checked and written once.
import { exactOf, freeze } from "./json-exact.ts";
import type { JsonObject } from "./json-value.ts";
import { writeJson } from "./json-writer.ts";
import { ownText } from "./own-text.ts";
import { RecurringParts } from "./recurring-parts.ts";

/** Objects are looked up by this many first characters. */
const START = 96;
/** How many different objects with the same start are remembered; one that is found again moves up one place. */
const MOST_ALIKE = 8;
/** Shorter objects are parsed as quickly as they are found, longer ones are not nodes. */
const SHORTEST = 256;
const LONGEST = 64 * 1024;
/** Forgotten nodes that are no longer in use are removed once there are at least this many. */
const LEAST_FORGOTTEN = 4096;
/** How many characters of objects are remembered by default. */
const MOST_REMEMBERED = 8 * 1024 * 1024;

/**
 * True for what may recur: the items of the list `nodes` of a spec file, and the member `spec` of a record of a
 * database. `depth` is that of the list, or of the object with the member.
 */
export function isRecurring(key: string | number | undefined, depth: number): boolean {
  return key === "nodes" || (key === "spec" && depth > 1);
}

interface Remembered {
  /** The first characters of its text, by which it is looked up. */
  readonly start: string;
  readonly text: string;
  /** The depth at which it was found: at a deeper level it could exceed the limit. */
  readonly depth: number;
  readonly value: JsonObject;
  /** It was added to the newer of the two generations, so it outlives the older one. */
  isRecent: boolean;
}

/** What to share with, and how much to remember. */
export interface RecurringOptions {
  /** Finds a node that is already in memory; it is used if it has the same text. */
  readonly known?: ((hash: string) => JsonObject | undefined) | undefined;
  /** The most characters of objects to remember. Default: 8 Mi. */
  readonly most?: number | undefined;
}

/** Shares objects between the documents that are parsed with it. */
export class Recurring {
  /** Entries of dependencies and architectures of all documents that are parsed with it. */
  readonly parts: RecurringParts;
  readonly #known: (hash: string) => JsonObject | undefined;
  readonly #most: number;
  // When `#recent` is full, it replaces `#older`. Objects found in `#older` are added to `#recent` again.
  #recent = new Map<string, Remembered[]>();
  #older = new Map<string, Remembered[]>();
  #size = 0;
  /** Nodes that are no longer remembered but may be in use, by hash: a document that has one again shares it. */
  readonly #forgotten = new Map<string, WeakRef<JsonObject>>();
  #cleanupSize = LEAST_FORGOTTEN;

  constructor({ known = () => undefined, most = MOST_REMEMBERED }: RecurringOptions = {}) {
    this.#known = known;
    this.#most = most;
    this.parts = new RecurringParts({ most: most / 2 });
  }

  /** The object whose text begins at `at`, and the length of that text. */
  find(text: string, at: number, depth: number): { readonly value: JsonObject; readonly length: number } | undefined {
    const start = text.slice(at, at + START);
    const matches = ({ text: known, depth: deepest }: Remembered): boolean =>
      deepest >= depth && text.slice(at, at + known.length) === known;
    const alike = this.#recent.get(start) ?? [];
    const index = alike.findIndex(matches);
    let found = alike[index];
    const before = alike[index - 1];
    if (found !== undefined && before !== undefined) {
      alike[index - 1] = found;
      alike[index] = before;
    }
    if (found === undefined) {
      found = this.#older.get(start)?.find(matches);
      if (found !== undefined) this.#remember(found);
    }
    return found && { value: found.value, length: found.text.length };
  }

  /** Remembers an object, which is frozen, by the text it was read from. Returns the one to use. */
  add(text: string, depth: number, made: JsonObject): JsonObject {
    if (text.length < SHORTEST || text.length > LONGEST) return made;
    const { hash } = made;
    const other = typeof hash === "string" ? (this.#known(hash) ?? this.#forgotten.get(hash)?.deref()) : undefined;
    const value = other !== undefined && writeJson(other) === text ? other : made;
    freeze(value);
    // Copies: a slice would keep the whole document in memory.
    const read = ownText(text);
    const start = ownText(text.slice(0, START));
    exactOf(value).text = { read };
    this.#remember({ start, text: read, depth, value, isRecent: true });
    return value;
  }

  #remember(one: Remembered): void {
    one.isRecent = true;
    if (this.#size > this.#most / 2) this.#age();
    const alike = this.#recent.get(one.start);
    if (alike === undefined) this.#recent.set(one.start, [one]);
    else {
      if (alike.length === MOST_ALIKE) this.#forget(alike.pop());
      alike.push(one);
    }
    this.#size += one.text.length;
  }

  #age(): void {
    for (const all of this.#older.values()) for (const one of all) if (!one.isRecent) this.#forget(one);
    for (const all of this.#recent.values()) for (const one of all) one.isRecent = false;
    this.#older = this.#recent;
    this.#recent = new Map();
    this.#size = 0;
  }

  #forget(one: Remembered | undefined): void {
    if (one === undefined) return;
    const { value } = one;
    const { hash } = value;
    // The object may stay in use, as a part of a database; without this, its text would, too.
    if (exactOf(value).text?.read === one.text) delete exactOf(value).text;
    if (typeof hash !== "string") return;
    this.#forgotten.set(hash, new WeakRef(value));
    if (this.#forgotten.size < this.#cleanupSize) return;
    for (const [key, dead] of this.#forgotten) if (dead.deref() === undefined) this.#forgotten.delete(key);
    this.#cleanupSize = Math.max(LEAST_FORGOTTEN, 2 * this.#forgotten.size);
  }
}
