// Reads the headers of tar entries, as far as those who pass archives on need to know them: the rest of an archive is
// checked by those who unpack it. Checksums, names and sizes are the same for both.
import { StaveError } from "../../errors.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { hasChecksum, isKnownFormat, nameIn, numberAt, type TarFailure, TarRecords, textAt } from "./tar-records.ts";
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
  readonly #records: TarRecords;
  /** The type flag, such as `0` for a file and `5` for a folder. */
  readonly flag: string;
  /** The bytes of content, without its padding. */
  readonly size: number;
  /** As it is written: folders with a slash at the end. */
  readonly name: ByteString;

  /** Takes whole headers, which must not be those of the end. Throws CONTENT_INVALID and ARCHIVE_UNSAFE. */
  constructor(bytes: Buffer, subject: string) {
    this.#block = bytes.subarray(bytes.length - BLOCK);
    checkSum(this.#block, subject);
    this.#records = readRecords(bytes, subject);
    this.flag = flagOf(this.#block);
    this.size = this.#records.size ?? sizeOf(this.#block, subject);
    if (!isKnownFormat(this.#block)) throw invalidArchive(subject, "has a header of an unknown format");
    this.name = this.#records.path ?? nameIn(this.#block);
    const isFile = this.flag === "0" || this.flag === "\0";
    if (isOutside(this.name) || (isFile && this.name.endsWith("/"))) throw unsafeName(subject, this.name);
    // The target of a hard link is the name of an entry.
    if (this.flag === "1" && isOutside(this.linkName)) throw unsafeName(subject, this.linkName);
  }

  get linkName(): ByteString {
    return this.#records.linkpath ?? textAt(this.#block, 157, 100);
  }

  get mode(): number {
    return numberAt(this.#block, 100, 8) ?? 0;
  }

  get user(): number {
    return numberAt(this.#block, 108, 8) ?? 0;
  }

  get group(): number {
    return numberAt(this.#block, 116, 8) ?? 0;
  }
}

/** Reads whole headers; undefined for the end of the archive. Throws CONTENT_INVALID and ARCHIVE_UNSAFE. */
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

function unsafeName(subject: string, name: ByteString): StaveError {
  return failureOf(subject)("ARCHIVE_UNSAFE", `has an entry with the unsafe name ${JSON.stringify(shownName(name))}`);
}

const failureOf =
  (subject: string): TarFailure =>
  (code, how) =>
    code === "CONTENT_INVALID"
      ? invalidArchive(subject, how)
      : new StaveError(code, `the archive of ${subject} ${how}`, {
          subject,
          hint: "it was not made by Spack or stave; do not use it",
        });

const isOutside = (name: ByteString): boolean =>
  name === "" || name.startsWith("/") || (name.includes("..") && name.split("/").includes(".."));

function readRecords(bytes: Buffer, subject: string): TarRecords {
  const records = new TarRecords(failureOf(subject));
  for (let at = 0; at + BLOCK < bytes.length; ) {
    const block = bytes.subarray(at, at + BLOCK);
    checkSum(block, subject);
    const size = sizeOf(block, subject);
    records.add(flagOf(block), bytes.toString("latin1", at + BLOCK, at + BLOCK + size));
    at += BLOCK + size + padding(size, BLOCK);
  }
  return records;
}

function checkSum(block: Buffer, subject: string): void {
  if (!hasChecksum(block)) throw invalidArchive(subject, "has a header with a wrong checksum");
}

function sizeOf(block: Buffer, subject: string): number {
  const size = numberAt(block, 124, 12);
  if (size === undefined) throw invalidArchive(subject, "has a header without a size");
  return size;
}

const flagOf = (block: Buffer): string => String.fromCharCode(block[156] ?? 0);

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}
