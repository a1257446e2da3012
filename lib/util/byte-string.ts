// File names and paths as raw bytes, held as strings with one character per byte (Latin-1). Such strings compare,
// concatenate and serve as keys like any other; this file converts them to paths, text and Python's order.
import { isUtf8 } from "node:buffer";
import { printable } from "../printable/printable.ts";

/** Bytes as a string: each character is one byte, U+0000 to U+00FF. */
export type ByteString = string;

const ABOVE_ASCII = /[\u0080-\uffff]/;

/** True if a byte string (or a text) is plain ASCII. */
export function isPlainAscii(text: string): boolean {
  return !ABOVE_ASCII.test(text);
}

/** The UTF-8 bytes of a text. */
export function bytesOfText(text: string): ByteString {
  return isPlainAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** A path for `node:fs`: a string if it is ASCII, otherwise a Buffer. */
export function fsPath(bytes: ByteString): string | Buffer {
  return isPlainAscii(bytes) ? bytes : Buffer.from(bytes, "latin1");
}

const ODD_PART = /(?:^|\/)\.{0,2}(?:\/|$)|\0/;

/** True for a relative path that stays below its start and is normalised: no `.`, `..`, empty part or NUL. */
export function isPlainPath(path: ByteString): boolean {
  return !ODD_PART.test(path);
}

/**
 * The text that Python sees (UTF-8 with the error handler `surrogateescape`): a byte that is not valid UTF-8 becomes
 * U+DC80 to U+DCFF, a lone surrogate.
 */
export function pythonText(bytes: ByteString): string {
  if (isPlainAscii(bytes)) return bytes;
  const buffer = Buffer.from(bytes, "latin1");
  if (isUtf8(buffer)) return buffer.toString("utf8");
  let out = "";
  for (let at = 0; at < buffer.length; ) {
    const length = sequenceLength(buffer, at);
    out += length === 0 ? String.fromCharCode(0xdc00 + (buffer[at] ?? 0)) : buffer.toString("utf8", at, at + length);
    at += Math.max(length, 1);
  }
  return out;
}

/** The bytes of a text that Python sees; the inverse of pythonText. */
export function bytesOfPythonText(text: string): ByteString {
  if (isPlainAscii(text)) return text;
  if (text.isWellFormed()) return bytesOfText(text);
  let out = "";
  for (const char of text) {
    const code = char.charCodeAt(0);
    out +=
      char.length === 1 && code >= 0xdc80 && code <= 0xdcff ? String.fromCharCode(code - 0xdc00) : bytesOfText(char);
  }
  return out;
}

// The length of the valid UTF-8 sequence at an offset, or 0.
function sequenceLength(buffer: Buffer, at: number): number {
  const first = buffer[at] ?? 0;
  const length = 1 + Number(first >= 0x80) + Number(first >= 0xe0) + Number(first >= 0xf0);
  const end = at + length;
  return end <= buffer.length && isUtf8(buffer.subarray(at, end)) ? length : 0;
}

/** A name for display: made printable, with undecodable bytes as `\xNN`. */
export function shownName(bytes: ByteString): string {
  const text = pythonText(bytes).replace(
    /[\udc80-\udcff]/g,
    (unit) => `\\x${(unit.charCodeAt(0) - 0xdc00).toString(16)}`,
  );
  return printable(text, { most: 300 });
}

/** Compares names in Python's order: by code point, undecodable bytes as U+DC80 to U+DCFF. */
export function compareNames(a: ByteString, b: ByteString): number {
  if (a === b) return 0;
  // In valid UTF-8, byte order is code point order.
  if ((isPlainAscii(a) && isPlainAscii(b)) || (isValid(a) && isValid(b))) return a < b ? -1 : 1;
  const left = Array.from(pythonText(a), codePoint);
  const right = Array.from(pythonText(b), codePoint);
  const shared = Math.min(left.length, right.length);
  for (let at = 0; at < shared; at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const isValid = (bytes: ByteString): boolean => isUtf8(Buffer.from(bytes, "latin1"));
const codePoint = (char: string): number => char.codePointAt(0) ?? 0;
