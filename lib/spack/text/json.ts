// Reads JSON as Spack does. Key order and the spelling of numbers survive, so that a document can be written back byte
// for byte and its hashes recomputed. Callers check schemas.
import { isAscii, isUtf8 } from "node:buffer";
import { type ErrorCode, StaveError } from "../../errors.ts";
import { JSON_DEPTH_LIMIT, JSON_VALUE_LIMIT } from "../../oci/json-limits.ts";
import { printable } from "../../printable/printable.ts";
import { exactOf, freeze } from "./json-exact.ts";
import type { JsonObject, JsonValue } from "./json-value.ts";
import { ownText } from "./own-text.ts";
import { isRecurring, type Recurring } from "./recurring.ts";
import { extentOf, isRecurringPart, RecurringParts } from "./recurring-parts.ts";

export { copyObject, keysOf } from "./json-exact.ts";
export { writeJson, writeJsonInPieces, writeJsonWithout } from "./json-writer.ts";

/** The document that a value comes from, for error messages. */
export interface JsonSource {
  /** The file, URL or tag, as the user knows it. */
  readonly name: string;
  /** The error code; default CONTENT_INVALID. */
  readonly code?: ErrorCode;
  /** What to do about a damaged document. */
  readonly hint?: string;
  /** Maximum number of values allowed, if more than JSON_VALUE_LIMIT. */
  readonly values?: number;
  /** Maximum depth of nesting, if not JSON_DEPTH_LIMIT. */
  readonly depth?: number;
  /** Shares the nodes of specs with other documents, which are parsed only once. */
  readonly recurring?: Recurring;
}

const INDEX_LIKE = /^(?:0|[1-9][0-9]{0,9})$/;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Record<string, string> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", "/": "/" };
const HEX4 = /^[0-9a-fA-F]{4}$/;

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

// Parses one text. Recursion is bounded by the depth of nesting.
class Parser {
  readonly #text: string;
  // The text as character codes, which are several times faster to inspect.
  readonly #codes: Uint8Array | Uint16Array;
  readonly #source: JsonSource;
  #at = 0;
  // How many more values are allowed; parsing stops when they run out.
  #left: number;
  // The keys and indexes from the root to the current value.
  readonly #path: (string | number)[] = [];
  // Frequent strings (keys, names, hashes) are interned as copies: a slice would keep the whole text in memory. There
  // is one slot per hash, so that no input can make lookups slow.
  readonly #strings: (string | undefined)[];
  // Other objects that recur, such as the `parameters` of edges: compared with those read before under the same key at
  // the same depth, and shared if their text is equal. An edge's `parameters` recur, those of a node do not.
  readonly #repeats: Map<string, Repeat[]>[] = [];
  // Entries of dependencies and architectures, shared with all documents of the same `recurring`.
  readonly #parts: RecurringParts;
  #isInPart = false;
  // How many more characters may be compared in vain: texts that differ late must not make the work quadratic.
  #comparable: number;

  constructor(text: string, codes: Uint8Array | Uint16Array, source: JsonSource) {
    this.#left = source.values ?? JSON_VALUE_LIMIT;
    this.#comparable = COMPARED * text.length;
    this.#parts = source.recurring?.parts ?? new RecurringParts({ length: text.length });
    this.#text = text;
    this.#codes = codes;
    this.#source = source;
    const places = 2 ** Math.min(17, Math.max(6, Math.ceil(Math.log2(text.length / 64 + 1))));
    this.#strings = new Array<string | undefined>(places).fill(undefined);
  }

  document(): JsonValue {
    const value = this.#value(0, this, "");
    this.#peek();
    if (this.#at < this.#codes.length) throw this.#error("expected the end of the document");
    return value;
  }

  // The code of the next character that is not white space, 0 at the end.
  #peek(): number {
    let code = this.#codes[this.#at] ?? 0;
    while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) code = this.#codes[++this.#at] ?? 0;
    return code;
  }

  // Reads a value that `container` holds under `key`.
  #value(depth: number, container: object, key: string | number): JsonValue {
    const code = this.#peek();
    if (--this.#left < 0) throw tooMany(this.#source);
    if (code === QUOTE) return this.#string();
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      this.#checkDepth(depth);
      return code === OPEN_OBJECT ? this.#object(depth) : this.#list(depth);
    }
    if (code === MINUS || (code >= ZERO && code <= NINE)) return this.#number(container, key);
    if (code === 0x74) return this.#word("true", true);
    if (code === 0x66) return this.#word("false", false);
    return this.#word("null", null);
  }

  #checkDepth(depth: number): void {
    const { depth: limit = JSON_DEPTH_LIMIT } = this.#source;
    if (depth >= limit) throw this.#error(`it is nested deeper than ${limit} levels`);
  }

  #word(word: string, value: JsonValue): JsonValue {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error("expected a value");
    this.#at += word.length;
    return value;
  }

  #list(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    const path = this.#path;
    const key = path.at(-1);
    const recurring = isRecurring(key, depth) ? this.#source.recurring : undefined;
    const hasParts = isRecurringPart(key) && !this.#isInPart;
    this.#at++;
    if (this.#peek() === CLOSE_LIST) {
      this.#at++;
      return items;
    }
    for (;;) {
      path.push(items.length);
      const isOpen = this.#peek() === OPEN_OBJECT;
      if (isOpen && recurring !== undefined) items.push(this.#recurring(recurring, depth + 1));
      else if (isOpen && hasParts) items.push(this.#part(depth + 1));
      else items.push(this.#value(depth + 1, items, items.length));
      path.pop();
      const code = this.#peek();
      if (code !== CLOSE_LIST && code !== COMMA) throw this.#error('expected "," or "]"');
      this.#at++;
      if (code === CLOSE_LIST) return items;
    }
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = {};
    const path = this.#path;
    let keys: string[] | undefined;
    this.#at++;
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++;
      return object;
    }
    for (;;) {
      if (this.#peek() !== QUOTE) throw this.#error("expected a key in double quotes");
      const first = this.#codes[this.#at + 1] ?? 0;
      const key = this.#string();
      path.push(key);
      if (Object.hasOwn(object, key)) throw this.#error("the key occurs twice");
      if (this.#peek() !== COLON) throw this.#error('expected ":"');
      this.#at++;
      if (keys === undefined && first >= ZERO && first <= NINE && INDEX_LIKE.test(key)) keys = Object.keys(object);
      keys?.push(key);
      const value = this.#peek() === OPEN_OBJECT ? this.#repeated(depth, key) : this.#value(depth + 1, object, key);
      // Plain assignment of this key would set the prototype.
      if (key === "__proto__") Object.defineProperty(object, key, { value, ...PLAIN });
      else object[key] = value;
      path.pop();
      const code = this.#peek();
      if (code !== CLOSE_OBJECT && code !== COMMA) throw this.#error('expected "," or "}"');
      this.#at++;
      if (code === CLOSE_OBJECT) break;
    }
    if (keys !== undefined && keys.length > 1) exactOf(object).order = keys;
    return object;
  }

  #recurring(recurring: Recurring, depth: number): JsonObject {
    const found = recurring.find(this.#text, this.#at, depth);
    if (found !== undefined) {
      this.#at += found.length;
      return found.value;
    }
    const start = this.#at;
    if (--this.#left < 0) throw tooMany(this.#source);
    this.#checkDepth(depth);
    const value = this.#object(depth);
    return recurring.add(this.#text.slice(start, this.#at), depth, value);
  }

  // Reads an object that may be a part of several nodes. No parts are looked for inside it: each look takes as long as
  // its text.
  #part(depth: number): JsonValue {
    const [start, left] = [this.#at, this.#left];
    const extent = extentOf(this.#codes, start);
    const found = extent && this.#parts.find(this.#text, start, extent, depth);
    if (extent !== undefined && found !== undefined) {
      this.#left -= found.values;
      if (this.#left < 0) throw tooMany(this.#source);
      this.#at = extent.end;
      return found.value;
    }
    this.#isInPart = true;
    const value = this.#value(depth, this, "");
    this.#isInPart = false;
    if (extent !== undefined && isObject(value))
      this.#parts.add(extent, { text: this.#text.slice(start, this.#at), depth, value, values: left - this.#left });
    return value;
  }

  #repeated(depth: number, key: string): JsonValue {
    if (this.#source.recurring !== undefined && isRecurring(key, depth))
      return this.#recurring(this.#source.recurring, depth + 1);
    if (isRecurringPart(key) && !this.#isInPart) return this.#part(depth + 1);
    this.#repeats[depth] ??= new Map();
    const repeats = this.#repeats[depth];
    const known = repeats.get(key) ?? [];
    for (let at = 0; at < known.length; at++) {
      const repeat = known[at];
      if (repeat === undefined || !this.#isAt(repeat)) continue;
      this.#at += repeat.text.length;
      // A hit moves up one place, so that frequent objects stay in the list.
      const before = known[at - 1];
      if (before !== undefined) {
        known[at - 1] = repeat;
        known[at] = before;
      }
      if (!repeat.shared) freeze(repeat.value);
      repeat.shared = true;
      return repeat.value;
    }
    const start = this.#at;
    const value = this.#value(depth + 1, known, key);
    const length = this.#at - start;
    if (length >= 16 && length <= 4096) {
      if (known.length === 0) repeats.set(key, known);
      if (known.length === MAX_REPEATS) known.pop();
      const middle = this.#codes[start + (length >> 1)] ?? 0;
      known.push({ text: this.#text.slice(start, this.#at), middle, value, shared: false });
    }
    return value;
  }

  // Comparing texts is expensive; most that differ do so at one of these two positions.
  #isAt({ text, middle }: Repeat): boolean {
    const { length } = text;
    const differs =
      this.#codes[this.#at + length - 1] !== CLOSE_OBJECT || this.#codes[this.#at + (length >> 1)] !== middle;
    if (differs || this.#comparable <= 0) return false;
    if (this.#text.startsWith(text, this.#at)) return true;
    this.#comparable -= Math.max(0, length - SHORT);
    return false;
  }

  // If JavaScript would spell a number differently, its container remembers the original spelling.
  #number(container: object, key: string | number): number {
    NUMBER.lastIndex = this.#at;
    const text = NUMBER.exec(this.#text)?.[0];
    if (text === undefined) throw this.#error("expected a number");
    this.#at += text.length;
    const value = Number(text);
    if (String(value) !== text) {
      const numbers = exactOf(container).numbers ?? new Map<string, string>();
      // A copy: a slice would keep the whole document in memory.
      numbers.set(String(key), ownText(text));
      exactOf(container).numbers = numbers;
    }
    return value;
  }

  #string(): string {
    const codes = this.#codes;
    const start = this.#at + 1;
    let at = start;
    let hash = 0;
    let code = codes[at] ?? 0;
    while (code !== QUOTE && code !== BACKSLASH && code >= SPACE) {
      hash = (Math.imul(hash, 31) + code) | 0;
      code = codes[++at] ?? 0;
    }
    if (code !== QUOTE) return this.#escapedString(start, at);
    this.#at = at + 1;
    const place = (hash ^ (hash >>> 15)) & (this.#strings.length - 1);
    const known = this.#strings[place];
    if (known !== undefined && known.length === at - start && this.#text.startsWith(known, start)) return known;
    const slice = this.#text.slice(start, at);
    const own = slice.length < 13 ? slice : ownText(slice);
    this.#strings[place] = own;
    return own;
  }

  // Reads a string with escapes from `first` on, or an invalid one.
  #escapedString(start: number, first: number): string {
    const parts: string[] = [];
    let from = start;
    for (this.#at = first; ; ) {
      const code = this.#codes[this.#at] ?? 0;
      if (code === QUOTE) break;
      if (this.#at >= this.#codes.length) throw this.#error("the string does not end");
      if (code < SPACE) throw this.#error("a control character inside a string");
      if (code !== BACKSLASH) {
        this.#at++;
        continue;
      }
      parts.push(this.#text.slice(from, this.#at));
      const letter = this.#text.charAt(this.#at + 1);
      const digits = letter === "u" ? this.#text.slice(this.#at + 2, this.#at + 6) : "";
      const unit = HEX4.test(digits) ? String.fromCharCode(Number.parseInt(digits, 16)) : ESCAPES[letter];
      if (unit === undefined) throw this.#error("an unknown escape inside a string");
      parts.push(unit);
      this.#at += digits === "" ? 2 : 6;
      from = this.#at;
    }
    parts.push(this.#text.slice(from, this.#at));
    this.#at++;
    return parts.join("");
  }

  #error(problem: string): StaveError {
    const cut = this.#at >= this.#codes.length;
    const near = cut ? "the end" : `character ${this.#at + 1}`;
    const found = cut ? "it is cut off there" : `found "${printable(this.#text.slice(this.#at, this.#at + 12))}"`;
    const where = this.#path.length > 0 ? `, in ${pathText(this.#path)}` : "";
    return invalid(this.#source, `is not valid JSON at ${near}${where}: ${problem}, ${found}`);
  }
}

function tooMany({ name, values = JSON_VALUE_LIMIT, hint }: JsonSource): StaveError {
  return new StaveError("TOO_LARGE", `${printable(name)} has more than ${values} values`, {
    subject: name,
    ...(hint === undefined ? {} : { hint }),
  });
}

interface Repeat {
  readonly text: string;
  /** The character code in the middle of the text. */
  readonly middle: number;
  readonly value: JsonValue;
  shared: boolean;
}
/** How many different objects are remembered per key; one that repeats moves up one place. */
const MAX_REPEATS = 16;

/** How many characters may be compared in vain for each one of a document, those of short texts not counted. */
const COMPARED = 8;
const SHORT = 128;

const PLAIN = { enumerable: true, configurable: true, writable: true };
function pathText(path: readonly (string | number)[]): string {
  return path.map((part) => printable(String(part))).join(".");
}

/** The error for a document: `<name> <problem>`, with the code and hint of its source. */
export function invalid(source: JsonSource, problem: string): StaveError {
  const hint = source.hint === undefined ? {} : { hint: source.hint };
  return new StaveError(source.code ?? "CONTENT_INVALID", `${printable(source.name)} ${problem}`, {
    subject: source.name,
    ...hint,
  });
}

/**
 * Reads one JSON document. Key order, unknown keys and the spelling of numbers survive until `writeJson`. Repeated
 * objects may be one shared frozen object: copy before changing them. Throws the source's code with the position unless
 * the text is one well-formed document. Duplicate keys (on which parsers disagree) and nesting deeper than 64 levels
 * are errors too.
 */
export function parseJsonText(text: string, source: JsonSource): JsonValue {
  const units = new Uint16Array(text.length);
  for (let at = 0; at < text.length; at++) units[at] = text.charCodeAt(at);
  return new Parser(text, units, source).document();
}

/** Like `parseJsonText`, from UTF-8 bytes; throws for other encodings and for a byte order mark. */
export function parseJsonBytes(bytes: Uint8Array, source: JsonSource): JsonValue {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isAscii(buffer)) return new Parser(buffer.toString("latin1"), bytes, source).document();
  if (!isUtf8(buffer)) throw invalid(source, "is not valid JSON: it is not UTF-8 text");
  return parseJsonText(buffer.toString("utf8"), source);
}

/** True for a JSON object, false for lists, scalars and undefined. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
