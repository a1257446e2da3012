// Writes JSON as Spack does, from the values that json.ts reads.
import { type Exact, keptOf, orderedKeys } from "./json-exact.ts";
import type { JsonObject, JsonValue } from "./json-value.ts";

// Python's json with ensure_ascii: everything outside printable ASCII is escaped, DEL too, by UTF-16 units.
const NON_ASCII = /[\u007f-\uffff]/g;
const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * Writes a value as Spack does: no white space, keys in their order, everything outside printable ASCII escaped with
 * lower-case hexadecimal digits (Python `json.dumps` with separators "," and ":").
 */
export function writeJson(value: JsonValue): string {
  return new Writer().text(value);
}

/** Writes an object as `writeJson` does, but without the member `key`: a hash does not cover itself. */
export function writeJsonWithout(object: JsonObject, key: string): string {
  return new Writer().without(object, key);
}

/** The levels of a database above its records: `database` and `installs`. */
const LEVELS = 2;

/**
 * Writes an object as `writeJson` does, in pieces of at least `size` characters, except the last. Only members of the
 * root, of its objects and of theirs are written one by one (in a database, the records), so that a piece may exceed
 * `size` by one such member.
 */
export function* writeJsonInPieces(object: JsonObject, size: number): Generator<string, void> {
  const writer = new Writer();
  yield* writer.pieces(object, size, LEVELS);
  yield writer.flush();
}

// Strings that are written as they are: nearly all.
const PLAIN = /^[ !#-[\]-~]*$/;
// Short strings, quoted: specs repeat the same names and hashes, in one text and from one to the next.
const quoted = new Map<string, string>();
const MOST_QUOTED = 20_000;
const LONGEST_QUOTED = 64;

function quote(text: string): string {
  const known = quoted.get(text);
  if (known !== undefined) return known;
  const made = PLAIN.test(text) ? `"${text}"` : JSON.stringify(text).replace(NON_ASCII, escapeUnit);
  if (text.length > LONGEST_QUOTED) return made;
  if (quoted.size >= MOST_QUOTED) quoted.clear();
  quoted.set(text, made);
  return made;
}

// Writes an object that recurs, for the first time. One string serves if it is written as it was read.
function written(object: JsonObject, kept: Exact, text: NonNullable<Exact["text"]>): string {
  const made = new Writer().members(object, kept);
  text.written = made === text.read ? text.read : made;
  return text.written;
}

// Writes one text.
class Writer {
  #out = "";

  text(value: JsonValue): string {
    this.#write(value);
    return this.#out;
  }

  without(object: JsonObject, key: string): string {
    this.#object(object, key);
    return this.#out;
  }

  #write(value: JsonValue): void {
    if (typeof value === "string") this.#out += quote(value);
    else if (typeof value !== "object" || value === null) this.#out += String(value);
    else if (Array.isArray(value)) this.#array(value);
    else this.#object(value);
  }

  // Use the original spelling only while the value is unchanged.
  #member(value: JsonValue, spelling: string | undefined): void {
    if (spelling !== undefined && typeof value === "number" && Object.is(Number(spelling), value))
      this.#out += spelling;
    else this.#write(value);
  }

  #array(items: readonly JsonValue[]): void {
    const numbers = keptOf(items)?.numbers;
    let separator = "[";
    for (let at = 0; at < items.length; at++) {
      this.#out += separator;
      this.#member(items[at] ?? null, numbers?.get(String(at)));
      separator = ",";
    }
    this.#out += separator === "[" ? "[]" : "]";
  }

  #object(object: JsonObject, left?: string): void {
    const kept = keptOf(object);
    if (kept?.text === undefined || left !== undefined) this.#members(object, kept, left);
    else this.#out += kept.text.written ?? written(object, kept, kept.text);
  }

  *pieces(object: JsonObject, size: number, levels: number): Generator<string, void> {
    const kept = keptOf(object);
    let separator = "{";
    for (const key of orderedKeys(object, kept)) {
      const value = object[key];
      if (value === undefined) continue;
      this.#out += `${separator}${quote(key)}:`;
      if (levels > 0 && typeof value === "object" && value !== null && !Array.isArray(value))
        yield* this.pieces(value, size, levels - 1);
      else this.#member(value, kept?.numbers?.get(key));
      separator = ",";
      if (this.#out.length >= size) yield this.flush();
    }
    this.#out += separator === "{" ? "{}" : "}";
  }

  /** Returns and forgets what was written. */
  flush(): string {
    const text = this.#out;
    this.#out = "";
    return text;
  }

  members(object: JsonObject, kept: Exact): string {
    this.#members(object, kept);
    return this.#out;
  }

  #members(object: JsonObject, kept: Exact | undefined, left?: string): void {
    let separator = "{";
    for (const key of orderedKeys(object, kept)) {
      const value = object[key];
      if (value === undefined || key === left) continue;
      this.#out += `${separator}${quote(key)}:`;
      this.#member(value, kept?.numbers?.get(key));
      separator = ",";
    }
    this.#out += separator === "{" ? "{}" : "}";
  }
}
