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
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const LITERALS = [
  { text: "true", value: true },
  { text: "false", value: false },
  { text: "null", value: null },
];
/** Longer numbers are left to the parser, which reads them exactly. */
const EXACT_DIGITS = 9;

/** A JSON text that is too large for memory. */
export interface LongText {
  /** Bytes. */
  readonly size: number;
  /** Reads bytes at an offset into a buffer; returns their number, less than asked for only at the end. */
  readInto(into: Buffer, from: number): number;
}

/** The bytes of a long text that are in memory at once, unless one value is longer. */
const WINDOW = 4 * 1024 * 1024;
/** With fewer bytes left, the window moves on. */
const LEAST_LEFT = 256 * 1024;

/**
 * A position in a JSON text that moves over its values. Strings that recur, such as keys and hashes, are created once
 * and shared. Of a long text only a window is in memory; it moves on by `release`, and grows for longer values.
 */
export class JsonScanner {
  /** The position of the next byte in the window, which for bytes in memory is the whole text. */
  at = 0;
  #bytes: Uint8Array;
  // The same bytes as a Buffer, to create strings.
  #text: Buffer;
  readonly #source: JsonSource;
  readonly #long: LongText | undefined;
  // The memory of the window, and where it is in a long text.
  #window: Buffer = Buffer.alloc(0);
  #base = 0;
  // Bytes before the next one are not needed.
  #isPassing = false;
  // One slot per string hash, so that no input can make lookups slow.
  readonly #strings: (string | undefined)[];

  constructor(text: Uint8Array | LongText, source: JsonSource) {
    const isLong = !(text instanceof Uint8Array);
    const bytes = isLong ? Buffer.alloc(0) : text;
    this.#long = isLong ? text : undefined;
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#source = source;
    const size = isLong ? text.size : text.byteLength;
    const places = 2 ** Math.min(19, Math.max(6, Math.ceil(Math.log2(size / 512 + 1))));
    this.#strings = new Array<string | undefined>(places).fill(undefined);
  }

  /** The bytes from a position to the next byte; of a long text they are valid until the next `release` or `seek`. */
  since(from: number): Uint8Array {
    return this.#bytes.subarray(from, this.at);
  }

  /** The offset in the text of a position in the window. */
  offsetOf(position: number): number {
    return this.#base + position;
  }

  /** Continues at an offset of the text. Positions are no longer valid. */
  seek(offset: number): void {
    if (this.#long === undefined) this.at = offset;
    else {
      this.#base = offset;
      this.at = 0;
      this.#show(0);
    }
  }

  /** Says that nothing before the next byte is needed. Positions are no longer valid. */
  release(): void {
    const end = this.#bytes.byteLength;
    if (this.#long !== undefined && end - this.at < LEAST_LEFT && this.#base + end < this.#long.size) this.#moveOn();
  }

  /** Moves past the value that follows, however long it is. Positions are no longer valid. */
  pass(): void {
    this.#isPassing = true;
    this.skip();
    this.#isPassing = false;
  }

  // Fills the window again from the next byte on.
  #moveOn(): void {
    const left = this.#bytes.byteLength - this.at;
    this.#window.copy(this.#window, 0, this.at, this.at + left);
    this.#base += this.at;
    this.at = 0;
    this.#show(left);
  }

  // Keeps the first bytes of the window and fills the rest.
  #show(kept: number): void {
    if (this.#window.byteLength === 0) this.#window = Buffer.allocUnsafeSlow(WINDOW);
    const read = this.#long?.readInto(this.#window.subarray(kept), this.#base + kept) ?? 0;
    this.#text = this.#window.subarray(0, kept + read);
    this.#bytes = this.#text;
  }

  // Reads more of a long text; false at its end.
  #more(): boolean {
    if (this.#long === undefined || this.#base + this.#bytes.byteLength >= this.#long.size) return false;
    const before = this.#base + this.#bytes.byteLength;
    if (this.#isPassing) {
      this.at = Math.min(this.at, this.#bytes.byteLength);
      this.#moveOn();
    } else {
      const kept = this.#bytes.byteLength;
      if (kept === this.#window.byteLength) {
        const larger = Buffer.allocUnsafeSlow(2 * kept);
        this.#text.copy(larger);
        this.#window = larger;
      }
      this.#show(kept);
    }
    return this.#base + this.#bytes.byteLength > before;
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

  /**
   * Reads the value that follows if it is true, false, null or a whole number of one to nine digits, directly followed
   * by `,`, `}` or `]`. Otherwise returns undefined and does not move past the value: the caller must parse it.
   */
  literalOrInteger(): boolean | number | null | undefined {
    const code = this.#peek();
    const bytes = this.#bytes;
    let at = this.at;
    let value: boolean | number | null = 0;
    if (code === DIGIT_0) at++;
    else if (code > DIGIT_0 && code <= DIGIT_9)
      for (let digit = code; digit >= DIGIT_0 && digit <= DIGIT_9; digit = bytes[++at] ?? 0)
        value = 10 * value + digit - DIGIT_0;
    else {
      const literal = LITERALS.find(({ text }) => isAt(bytes, at, text));
      if (literal === undefined) return undefined;
      at += literal.text.length;
      value = literal.value;
    }
    const next = bytes[at];
    if (at - this.at > EXACT_DIGITS || (next !== COMMA && next !== CLOSE_OBJECT && next !== CLOSE)) return undefined;
    this.at = at;
    return value;
  }

  /** Moves past the object that follows if this is its text. Only for a text in memory. */
  skipIf(text: Uint8Array): boolean {
    this.#peek();
    const end = this.at + text.byteLength;
    if (end > this.#text.byteLength || this.#text.compare(text, 0, text.byteLength, this.at, end) !== 0) return false;
    this.at = end;
    return true;
  }

  /** Moves past the value that follows and returns its offset. */
  skip(): number {
    this.#peek();
    const from = this.at;
    const start = this.offsetOf(from);
    let bytes = this.#bytes;
    let depth = 0;
    for (;;) {
      const code = bytes[this.at];
      if (code === undefined) {
        // A number at the end of the window may go on.
        if (!this.#more()) throw this.#error("the rest");
        bytes = this.#bytes;
        continue;
      }
      if (code === QUOTE) {
        this.#string();
        bytes = this.#bytes;
      } else if (code === OPEN || code === OPEN_OBJECT) {
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
    if (this.offsetOf(this.at) === start) throw this.#error("a value");
    return from;
  }

  /** Checks that nothing follows. */
  end(): void {
    if (this.#peek() !== 0) throw this.#error("the end of the document");
  }

  #key(): string {
    let bytes = this.#bytes;
    const from = this.at + 1;
    let at = from;
    let hash = 0;
    let code = bytes[at];
    for (;;) {
      while (code !== QUOTE && code !== BACKSLASH && code !== undefined) {
        hash = (Math.imul(hash, 31) + code) | 0;
        code = bytes[++at];
      }
      if (code !== undefined || !this.#more()) break;
      bytes = this.#bytes;
      code = bytes[at];
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
    let bytes = this.#bytes;
    let at = this.at + 1;
    for (let code = bytes[at]; code !== QUOTE; code = bytes[at]) {
      if (code !== undefined) at += code === BACKSLASH ? 2 : 1;
      else {
        // The byte after a backslash may be beyond the window.
        const beyond = at - bytes.byteLength;
        this.at = bytes.byteLength;
        if (!this.#more()) throw this.#error("the rest");
        at = this.at + beyond;
        bytes = this.#bytes;
      }
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
    for (;;) {
      while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) code = this.#bytes[++this.at];
      if (code !== undefined || !this.#more()) return code ?? 0;
      code = this.#bytes[this.at];
    }
  }

  #error(expected: string): Error {
    const isCut = this.at >= this.#bytes.byteLength;
    const where = isCut ? "it is truncated" : `at byte ${this.offsetOf(this.at)}`;
    return invalid(this.#source, `is not valid JSON: ${where}, expected ${expected}`);
  }
}

// A string that is not ASCII has fewer characters than bytes, and is never found this way.
function isAt(bytes: Uint8Array, from: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) !== bytes[from + at]) return false;
  return true;
}
