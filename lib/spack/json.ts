// JSON as Spack reads and writes it: keys in the order of the file, numbers as they were spelled, so that what was
// read is written back byte for byte and hashes can be recomputed. Schemas are the business of whoever reads.
import { isAscii, isUtf8 } from "node:buffer";
import { type ErrorCode, StaveError } from "../errors.ts";
import type { JsonObject, JsonValue } from "./node.ts";

/** Says which document a value comes from, for error messages. */
export interface JsonSource {
  /** The file, URL or tag, as the reader of a message knows it. */
  readonly name: string;
  /** The code of errors; CONTENT_INVALID when not given. */
  readonly code?: ErrorCode;
  /** What to do about a damaged document. */
  readonly hint?: string;
}

/** Containers within containers, more than any file of Spack has. */
const MAX_DEPTH = 64;

// What a plain object cannot keep: the order of keys that look like array indexes, the spelling of numbers such as
// 1.0 or 10000000000000000000000. Kept aside by container, so that values stay plain; a container that is changed
// afterwards keeps its changes, because the writer compares.
interface Exact {
  order?: string[];
  numbers?: Map<string, string>;
}
const exact = new WeakMap<object, Exact>();

function exactOf(container: object): Exact {
  const known = exact.get(container);
  if (known) return known;
  const fresh: Exact = {};
  exact.set(container, fresh);
  return fresh;
}

const INDEX_LIKE = /^(?:0|[1-9][0-9]{0,9})$/;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Record<string, string> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", "/": "/" };
const HEX4 = /^[0-9a-fA-F]{4}$/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

// One parser for one text; recursion is bounded by MAX_DEPTH.
class Parser {
  readonly #text: string;
  readonly #source: JsonSource;
  #at = 0;
  // The keys and indexes from the root to the value under way.
  readonly #path: (string | number)[] = [];
  // Texts that occur again and again (keys, names, features) are kept once, and apart from the big text: a slice of
  // it would keep all of it alive.
  readonly #strings = new Map<string, string>();

  constructor(text: string, source: JsonSource) {
    this.#text = text;
    this.#source = source;
  }

  document(): JsonValue {
    const value = this.#member(-1, this, "");
    this.#skip();
    if (this.#at < this.#text.length) throw this.#error("expected the end of the document");
    return value;
  }

  // Moves over white space and returns the code of the character there, NaN at the end.
  #skip(): number {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.#at++;
    }
  }

  #value(depth: number): JsonValue {
    const code = this.#skip();
    if (code === QUOTE) return this.#string();
    if (code === 0x7b || code === 0x5b) {
      if (depth >= MAX_DEPTH) throw this.#error(`it is nested deeper than ${MAX_DEPTH} levels`);
      return code === 0x7b ? this.#object(depth) : this.#array(depth);
    }
    for (const [word, value] of WORDS)
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    throw this.#error("expected a value");
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at++;
    if (this.#skip() === 0x5d) {
      this.#at++;
      return items;
    }
    for (;;) {
      this.#path.push(items.length);
      items.push(this.#member(depth, items, items.length));
      this.#path.pop();
      const code = this.#skip();
      this.#at++;
      if (code === 0x5d) return items;
      if (code !== 0x2c) {
        this.#at--;
        throw this.#error('expected "," or "]"');
      }
    }
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = {};
    let keys: string[] | undefined;
    let count = 0;
    this.#at++;
    if (this.#skip() === 0x7d) {
      this.#at++;
      return object;
    }
    for (;;) {
      if (this.#skip() !== QUOTE) throw this.#error("expected a key in double quotes");
      const key = this.#string();
      this.#path.push(key);
      if (Object.hasOwn(object, key)) throw this.#error("the key is there twice");
      if (this.#skip() !== 0x3a) throw this.#error('expected ":"');
      this.#at++;
      const first = key.charCodeAt(0);
      if (keys === undefined && first >= 0x30 && first <= 0x39 && INDEX_LIKE.test(key)) keys = Object.keys(object);
      keys?.push(key);
      const value = this.#member(depth, object, key);
      // Plain assignment of this one key would change the prototype instead.
      if (key === "__proto__") Object.defineProperty(object, key, { value, ...PLAIN });
      else object[key] = value;
      this.#path.pop();
      count++;
      const code = this.#skip();
      this.#at++;
      if (code === 0x7d) break;
      if (code !== 0x2c) {
        this.#at--;
        throw this.#error('expected "," or "}"');
      }
    }
    if (keys !== undefined && count > 1) exactOf(object).order = keys;
    return object;
  }

  // A value inside a container; numbers whose spelling JavaScript would change are remembered there.
  #member(depth: number, container: object, key: string | number): JsonValue {
    const code = this.#skip();
    if (code !== 0x2d && !(code >= 0x30 && code <= 0x39)) return this.#value(depth + 1);
    const text = this.#number();
    const value = Number(text);
    if (String(value) !== text) {
      const numbers = exactOf(container).numbers ?? new Map<string, string>();
      numbers.set(String(key), text);
      exactOf(container).numbers = numbers;
    }
    return value;
  }

  #number(): string {
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) throw this.#error("expected a number");
    this.#at += text.length;
    return text;
  }

  #string(): string {
    const text = this.#text;
    const start = this.#at + 1;
    let at = start;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) return this.#escapedString(start, at);
      if (code < 0x20 || Number.isNaN(code)) {
        this.#at = at;
        throw this.#error(code < 0x20 ? "a control character inside a string" : "the string does not end");
      }
      at++;
    }
    this.#at = at + 1;
    const slice = text.slice(start, at);
    const known = this.#strings.get(slice);
    if (known !== undefined) return known;
    const own = slice.length < 13 ? slice : ` ${slice}`.slice(1);
    this.#strings.set(own, own);
    return own;
  }

  #escapedString(start: number, firstEscape: number): string {
    const text = this.#text;
    const parts: string[] = [];
    let from = start;
    let at = firstEscape;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code < 0x20 || Number.isNaN(code)) {
        this.#at = at;
        throw this.#error(code < 0x20 ? "a control character inside a string" : "the string does not end");
      }
      if (code !== BACKSLASH) {
        at++;
        continue;
      }
      parts.push(text.slice(from, at));
      const letter = text.charAt(at + 1);
      const digits = letter === "u" ? text.slice(at + 2, at + 6) : "";
      const meant =
        letter === "u" && HEX4.test(digits) ? String.fromCharCode(Number.parseInt(digits, 16)) : ESCAPES[letter];
      if (meant === undefined) {
        this.#at = at;
        throw this.#error("an unknown escape inside a string");
      }
      parts.push(meant);
      at += letter === "u" ? 6 : 2;
      from = at;
    }
    parts.push(text.slice(from, at));
    this.#at = at + 1;
    return parts.join("");
  }

  #error(problem: string): StaveError {
    const cut = this.#at >= this.#text.length;
    const near = cut ? "the end" : `character ${this.#at + 1}`;
    const found = cut ? "it is cut off there" : `found ${JSON.stringify(this.#text.slice(this.#at, this.#at + 12))}`;
    const where = this.#path.length > 0 ? `, in ${pathText(this.#path)}` : "";
    return invalid(this.#source, `is not valid JSON at ${near}${where}: ${problem}, ${found}`);
  }
}

const PLAIN = { enumerable: true, configurable: true, writable: true };
const WORDS: readonly (readonly [string, JsonValue])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

function pathText(path: readonly (string | number)[]): string {
  return path.map((part) => printable(String(part))).join(".");
}

/** Text from outside made fit for a message: control characters escaped, cut at 200 characters. */
export function printable(text: string): string {
  const cut = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return JSON.stringify(cut).slice(1, -1).replaceAll('\\"', '"').replace(NON_ASCII, escapeUnit);
}

/** The error of a document: `<name> <problem>`, with the code and hint of its source. */
export function invalid(source: JsonSource, problem: string): StaveError {
  const hint = source.hint === undefined ? {} : { hint: source.hint };
  return new StaveError(source.code ?? "CONTENT_INVALID", `${printable(source.name)} ${problem}`, {
    subject: source.name,
    ...hint,
  });
}

/**
 * Reads one JSON document. Key order, unknown keys and the spelling of numbers survive until `writeJson`.
 * Throws the source's code, naming the place, for anything but one well-formed document: also for a key that occurs
 * twice in an object (readers would differ in which one counts) and for nesting deeper than 64 levels.
 */
export function parseJson(text: string, source: JsonSource): JsonValue {
  return new Parser(text, source).document();
}

/** Reads one JSON document from UTF-8 bytes, as `parseJson`; other encodings and a byte order mark are refused. */
export function parseJsonBytes(bytes: Uint8Array, source: JsonSource): JsonValue {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isAscii(buffer)) return parseJson(buffer.toString("latin1"), source);
  if (!isUtf8(buffer)) throw invalid(source, "is not valid JSON: it is not UTF-8 text");
  return parseJson(buffer.toString("utf8"), source);
}

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

/** Writes an object as `writeJson` does, but leaves one of its own keys out: hashes do not cover themselves. */
export function writeJsonWithout(object: JsonObject, key: string): string {
  return new Writer().without(object, key);
}

// One writer for one text; it quotes each distinct string once. Depth is that of the value given.
class Writer {
  #out = "";
  readonly #quoted = new Map<string, string>();

  text(value: JsonValue): string {
    this.#write(value);
    return this.#out;
  }

  without(object: JsonObject, key: string): string {
    this.#object(object, key);
    return this.#out;
  }

  #write(value: JsonValue): void {
    if (typeof value === "string") this.#out += this.#quote(value);
    else if (typeof value !== "object" || value === null) this.#out += String(value);
    else if (Array.isArray(value)) this.#array(value);
    else this.#object(value);
  }

  #quote(text: string): string {
    const known = this.#quoted.get(text);
    if (known !== undefined) return known;
    const quoted = JSON.stringify(text).replace(NON_ASCII, escapeUnit);
    this.#quoted.set(text, quoted);
    return quoted;
  }

  // A remembered spelling counts as long as the value is still the same.
  #member(value: JsonValue, spelling: string | undefined): void {
    if (spelling !== undefined && typeof value === "number" && Object.is(Number(spelling), value))
      this.#out += spelling;
    else this.#write(value);
  }

  #array(items: readonly JsonValue[]): void {
    const numbers = exact.get(items)?.numbers;
    let separator = "[";
    for (let at = 0; at < items.length; at++) {
      this.#out += separator;
      this.#member(items[at] ?? null, numbers?.get(String(at)));
      separator = ",";
    }
    this.#out += separator === "[" ? "[]" : "]";
  }

  #object(object: JsonObject, left?: string): void {
    const kept = exact.get(object);
    let separator = "{";
    for (const key of orderedKeys(object, kept)) {
      const value = object[key];
      if (value === undefined || key === left) continue;
      this.#out += `${separator}${this.#quote(key)}:`;
      this.#member(value, kept?.numbers?.get(key));
      separator = ",";
    }
    this.#out += separator === "{" ? "{}" : "}";
  }
}

/** The keys of an object in the order of the file. */
export function keysOf(object: JsonObject): string[] {
  return orderedKeys(object, exact.get(object));
}

function orderedKeys(object: JsonObject, kept: Exact | undefined): string[] {
  if (kept?.order === undefined) return Object.keys(object);
  const order = kept.order.filter((key) => Object.hasOwn(object, key));
  const known = new Set(order);
  return [...order, ...Object.keys(object).filter((key) => !known.has(key))];
}

/** Tells an object from the other JSON values. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
