// Reads the fields of tar headers, and what other headers say about an entry: one interpretation for all who read
// archives. What different readers could take for different things is refused.
import type { StaveError } from "../../errors.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { BLOCK } from "./tar-writer.ts";

/** The errors of a reader, which name its archive; `how` goes on after `the archive`. */
export type TarFailure = (code: "CONTENT_INVALID" | "ARCHIVE_UNSAFE", how: string) => StaveError;

/** Names and sizes that preceding headers give an entry: pax records, a GNU long name, a GNU long target. */
export class TarRecords {
  readonly #failure: TarFailure;
  path: ByteString | undefined;
  linkpath: ByteString | undefined;
  size: number | undefined;

  constructor(failure: TarFailure) {
    this.#failure = failure;
  }

  /** Takes the content of a header of type `x`, `g`, `L` or `K`. Throws CONTENT_INVALID and ARCHIVE_UNSAFE. */
  add(type: string, text: ByteString): void {
    if (type === "L" || type === "K") {
      // A C string, whose NUL counts.
      const name = text.endsWith("\0") ? text.slice(0, -1) : text;
      this.#rename(type === "L" ? "path" : "linkpath", name);
      return;
    }
    for (const [key, value] of this.#pax(text)) {
      const isName = key === "path" || key === "linkpath";
      if (key.startsWith("GNU.sparse."))
        throw this.#failure("ARCHIVE_UNSAFE", "has a sparse file, which other readers take for another one");
      if (!isName && key !== "size") continue;
      if (type === "g") throw this.#failure("ARCHIVE_UNSAFE", `sets ${key} for all members`);
      if (isName) this.#rename(key, value);
      else if (/^[0-9]{1,15}$/.test(value)) this.size = Number(value);
      else throw this.#failure("CONTENT_INVALID", `has ${JSON.stringify(value.slice(0, 40))} as a size`);
    }
  }

  // Records of the form `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record, in decimal digits.
  *#pax(text: string): Iterable<[string, string]> {
    for (let at = 0; at < text.length; ) {
      const digits = /^[0-9]{1,8}(?= )/.exec(text.slice(at, at + 10))?.[0];
      const end = at + Number(digits ?? 0);
      const record = digits === undefined ? "" : text.slice(at + digits.length + 1, end);
      const equals = record.indexOf("=");
      if (end > text.length || !record.endsWith("\n") || equals < 1)
        throw this.#failure("CONTENT_INVALID", "has a pax header that is not valid");
      yield [record.slice(0, equals), record.slice(equals + 1, -1)];
      at = end;
    }
  }

  #rename(key: "path" | "linkpath", value: ByteString): void {
    if (value.includes("\0")) throw this.#failure("ARCHIVE_UNSAFE", `has a name with a NUL byte: ${shownName(value)}`);
    if (this[key] !== undefined)
      throw this.#failure("ARCHIVE_UNSAFE", `has two names for one member: ${shownName(value)}`);
    this[key] = value;
  }
}

/** The name in a block, without what other headers say. */
export function nameIn(block: Buffer): ByteString {
  // GNU stores times where POSIX has the first part of long names.
  const front = magicOf(block) === POSIX ? textAt(block, 345, 155) : "";
  const back = textAt(block, 0, 100);
  return front === "" ? back : `${front}/${back}`;
}

/** True for the formats that are read: POSIX, and that of GNU. */
export function isKnownFormat(block: Buffer): boolean {
  const magic = magicOf(block);
  return magic === POSIX || magic === GNU;
}

const POSIX = "ustar\x0000";
const GNU = "ustar  \0";

const magicOf = (block: Buffer): string => block.toString("latin1", 257, 265);

/** The text of a field, which ends with NUL unless it is full. */
export function textAt(block: Buffer, at: number, length: number): ByteString {
  const text = block.toString("latin1", at, at + length);
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** A number: octal digits or, if it is larger, a first byte of 0x80 and a binary number; else undefined. */
export function numberAt(block: Buffer, at: number, length: number): number | undefined {
  if (block[at] === 0x80) {
    let value = 0n;
    for (const byte of block.subarray(at + 1, at + length)) value = value * 256n + BigInt(byte);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
  }
  const digits = /^ *([0-7]*)[ \0]*$/.exec(block.toString("latin1", at, at + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits === "" ? "0" : digits, 8);
}

/** True if the checksum of a header is right: the sum of all bytes, with the checksum field taken as spaces. */
export function hasChecksum(block: Buffer): boolean {
  let sum = 8 * 32;
  for (let at = 0; at < 148; at++) sum += block[at] ?? 0;
  for (let at = 156; at < BLOCK; at++) sum += block[at] ?? 0;
  return numberAt(block, 148, 8) === sum;
}
