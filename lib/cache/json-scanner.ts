// Finds the start and end of values in a JSON text, several times faster than parsing it. It does not detect every
// error: callers verify or parse what it finds.
import { invalid, type JsonSource, parseJsonText } from "../spack/text/json.ts";

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * A position in a JSON text that moves over its values. Strings that recur, such as keys and hashes, are created once
 * and shared.
 */
export class JsonScanner {
  /** The offset of the next byte. */
  at: number;
  readonly #bytes: Uint8Array;
  // The same bytes as a Buffer, to create strings.
  readonly #text: Buffer;
  readonly #source: JsonSource;
  // One slot per string hash, so that no input can make lookups slow.
  readonly #strings: (string | undefined)[];

  constructor(bytes: Uint8Array, source: JsonSource, at = 0) {
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#source = source;
    this.at = at;
    const places = 2 ** Math.min(19, Math.max(6, Math.ceil(Math.log2(bytes.byteLength / 512 + 1))));
    this.#strings = new Array<string | undefined>(places).fill(undefined);
  }

  /** Calls `visit` for each member of the object that follows; it must move past the value. */
  object(visit: (key: string) => void): void {
    this.#expect(OPEN_OBJECT, "an object");
    if (this.#peek() === CLOSE_OBJECT) {
      this.at++;
      return;
    }
    for (;;) {
      if (this.#peek() !== QUOTE) throw this.#error("a key in double quotes");
      const key = this.#key();
      this.#expect(COLON, '":"');
      this.#peek();
      visit(key);
      const code = this.#peek();
      this.at++;
      if (code === CLOSE_OBJECT) return;
      if (code !== COMMA) throw this.#error('"," or "}"');
    }
  }

  /** Calls `visit` for each item of the list that follows; it must move past the item. */
  list(visit: () => void): void {
    this.#expect(OPEN, "a list");
    if (this.#peek() === CLOSE) {
      this.at++;
      return;
    }
    for (;;) {
      visit();
      const code = this.#peek();
      this.at++;
      if (code === CLOSE) return;
      if (code !== COMMA) throw this.#error('"," or "]"');
    }
  }

  /** Reads the string that follows. */
  string(): string {
    if (this.#peek() !== QUOTE) throw this.#error("a string");
    return this.#key();
  }

  /** Moves past the value that follows and returns its offset. */
  skip(): number {
    this.#peek();
    const from = this.at;
    const bytes = this.#bytes;
    let depth = 0;
    for (;;) {
      const code = bytes[this.at];
      if (code === undefined) throw this.#error("the rest");
      if (code === QUOTE) this.#string();
      else if (code === OPEN || code === OPEN_OBJECT) {
        depth++;
        this.at++;
      } else if (code === CLOSE || code === CLOSE_OBJECT) {
        if (depth === 0) break;
        depth--;
        this.at++;
      } else if (depth === 0 && (code === COMMA || code <= SPACE)) break;
      else {
        this.at++;
        continue;
      }
      if (depth === 0) break;
    }
    if (this.at === from) throw this.#error("a value");
    return from;
  }

  /** Checks that nothing follows. */
  end(): void {
    if (this.#peek() !== 0) throw this.#error("the end of the document");
  }

  #key(): string {
    const bytes = this.#bytes;
    const from = this.at + 1;
    let at = from;
    let hash = 0;
    let code = bytes[at];
    while (code !== QUOTE && code !== BACKSLASH && code !== undefined) {
      hash = (Math.imul(hash, 31) + code) | 0;
      code = bytes[++at];
    }
    if (code !== QUOTE) {
      this.#string();
      return String(parseJsonText(this.#text.toString("utf8", from - 1, this.at), this.#source));
    }
    this.at = at + 1;
    const place = (hash ^ (hash >>> 15)) & (this.#strings.length - 1);
    const known = this.#strings[place];
    if (known !== undefined && known.length === at - from && isAt(bytes, from, known)) return known;
    const made = this.#text.toString("utf8", from, at);
    this.#strings[place] = made;
    return made;
  }

  // Moves past a string.
  #string(): void {
    const bytes = this.#bytes;
    let at = this.at + 1;
    for (let code = bytes[at]; code !== QUOTE; code = bytes[at]) {
      if (code === undefined) {
        this.at = at;
        throw this.#error("the rest");
      }
      at += code === BACKSLASH ? 2 : 1;
    }
    this.at = at + 1;
  }

  #expect(code: number, what: string): void {
    if (this.#peek() !== code) throw this.#error(what);
    this.at++;
  }

  // The next byte that is not white space, 0 at the end.
  #peek(): number {
    let code = this.#bytes[this.at];
    while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) code = this.#bytes[++this.at];
    return code ?? 0;
  }

  #error(expected: string): Error {
    const isCut = this.at >= this.#bytes.byteLength;
    const where = isCut ? "it is truncated" : `at byte ${this.at}`;
    return invalid(this.#source, `is not valid JSON: ${where}, expected ${expected}`);
  }
}

// A string that is not ASCII has fewer characters than bytes, and is never found this way.
function isAt(bytes: Uint8Array, from: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) !== bytes[from + at]) return false;
  return true;
}
