// Reads the headers of tar entries in any of the usual dialects, as far as those who pass archives on need to know
// them: an archive is checked by those who unpack it.
import { StaveError } from "../../errors.ts";
import type { ByteString } from "../../util/byte-string.ts";
import { BLOCK, padding } from "./tar-writer.ts";

/** Maximum number of bytes of the headers of one entry, in blocks and long names. */
const HEADER_LIMIT = 1 << 20;

/**
 * How long the headers of the next entry are, as far as its bytes tell; at least one block. Throws CONTENT_INVALID.
 */
export function headersLength(bytes: Buffer, subject: string): number {
  let length = BLOCK;
  while (bytes.length >= length) {
    const block = bytes.subarray(length - BLOCK, length);
    if (!"xgLK".includes(flagOf(block)) || isZero(block)) return length;
    const size = sizeOf(block, subject);
    length += size + padding(size, BLOCK) + BLOCK;
    if (length > HEADER_LIMIT) throw invalidArchive(subject, `has a header of more than ${HEADER_LIMIT} bytes`);
  }
  return length;
}

/** An entry, as its headers describe it. */
export class TarHeaders {
  readonly #block: Buffer;
  readonly #said: Records;
  /** The type flag, such as `0` for a file and `5` for a folder. */
  readonly flag: string;
  /** The bytes of content, without its padding. */
  readonly size: number;

  /** Takes whole headers, which must not be those of the end. Throws CONTENT_INVALID. */
  constructor(bytes: Buffer, subject: string) {
    this.#block = bytes.subarray(bytes.length - BLOCK);
    this.#said = bytes.length > BLOCK ? readRecords(bytes, subject) : {};
    this.flag = flagOf(this.#block);
    this.size = this.#said.size ?? sizeOf(this.#block, subject);
  }

  /** As it is written: folders with a slash at the end. */
  get name(): ByteString {
    return this.#said.path ?? textAt(this.#block, 0, 100);
  }

  get linkName(): ByteString {
    return this.#said.linkpath ?? textAt(this.#block, 157, 100);
  }

  get mode(): number {
    return octal(this.#block, 100, 8) ?? 0;
  }

  get user(): number {
    return octal(this.#block, 108, 8) ?? 0;
  }

  get group(): number {
    return octal(this.#block, 116, 8) ?? 0;
  }
}

/** Reads whole headers; undefined for the end of the archive. Throws CONTENT_INVALID. */
export function readHeaders(bytes: Buffer, subject: string): TarHeaders | undefined {
  if (!isZero(bytes.subarray(bytes.length - BLOCK))) return new TarHeaders(bytes, subject);
  if (bytes.length > BLOCK) throw invalidArchive(subject, "ends where an entry was announced");
  return undefined;
}

/** How many bytes of content and padding follow the headers; links, folders and devices have none. */
export function contentLength({ flag, size }: Pick<TarHeaders, "flag" | "size">): number {
  return "123456".includes(flag) ? 0 : size + padding(size, BLOCK);
}

/** The error for an archive that makes no sense. */
export function invalidArchive(subject: string, how: string): StaveError {
  return new StaveError("CONTENT_INVALID", `the archive of ${subject} ${how}`, {
    subject,
    hint: "push the spec again",
  });
}

interface Records {
  path?: ByteString;
  linkpath?: ByteString;
  size?: number;
}

function readRecords(bytes: Buffer, subject: string): Records {
  const said: Records = {};
  for (let at = 0; at + BLOCK < bytes.length; ) {
    const block = bytes.subarray(at, at + BLOCK);
    const size = sizeOf(block, subject);
    const body = bytes.toString("latin1", at + BLOCK, at + BLOCK + size);
    if (flagOf(block) === "L") said.path = body.replace(/\0+$/, "");
    else if (flagOf(block) === "K") said.linkpath = body.replace(/\0+$/, "");
    else
      for (const [, digits, key, value] of body.matchAll(/(?<=^|\n)([0-9]+) (path|linkpath|size)=([^\n]*)(?=\n)/g)) {
        if (digits === undefined || value === undefined) continue;
        if (key === "path") said.path = value;
        else if (key === "linkpath") said.linkpath = value;
        else if (/^[0-9]{1,15}$/.test(value)) said.size = Number(value);
      }
    at += BLOCK + size + padding(size, BLOCK);
  }
  return said;
}

// The size field: octal digits or, for larger numbers, a first byte of 0x80 and a binary number.
function sizeOf(block: Buffer, subject: string): number {
  if (block[124] === 0x80) return Number(block.readBigUInt64BE(128) & 0x1f_ffff_ffff_ffffn);
  const size = octal(block, 124, 12);
  if (size === undefined) throw invalidArchive(subject, "has a header without a size");
  return size;
}

function octal(block: Buffer, at: number, length: number): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(block.toString("latin1", at, at + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

const flagOf = (block: Buffer): string => String.fromCharCode(block[156] ?? 0);

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

function textAt(block: Buffer, at: number, length: number): ByteString {
  const text = block.toString("latin1", at, at + length);
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
