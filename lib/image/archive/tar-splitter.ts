// Splits a tar archive into the folders that it begins with, the other entries, and its end. Passes bytes on unchanged.
// Looks only at what it needs for that: an archive is checked by those who unpack it.
import { StaveError } from "../../errors.ts";
import type { ByteString } from "../../util/byte-string.ts";
import { BLOCK, padding } from "./tar-writer.ts";

/** A folder at the beginning of an archive. */
export interface TarFolder {
  readonly name: ByteString;
  /** Its header, with the pax header before it, if any. */
  readonly bytes: Buffer;
}

/** Maximum number of bytes of the headers of one entry, in blocks and long names. */
const HEADER_LIMIT = 1 << 20;
/** How many folders are set apart by default. */
const FOLDERS = 10_000;

/** Splits an archive that is pushed piece by piece. Throws CONTENT_INVALID if its headers make no sense. */
export class TarSplitter {
  readonly #take: (bytes: Buffer) => void;
  readonly #subject: string;
  readonly #most: number;
  /** The folders that the archive begins with, as far as it was pushed. */
  readonly folders: TarFolder[] = [];
  /** The bytes of these folders. */
  folderBytes = 0;
  /** True once an entry was found that is not one of these folders, or the end. */
  areFoldersDone = false;
  /** True once the end was found. */
  hasEnded = false;
  // The headers of the next entry, as far as they were pushed.
  #header: Buffer = Buffer.alloc(0);
  // The name of the next entry in a pax header.
  #path: ByteString | undefined;
  #size: number | undefined;
  // The content and padding still to come.
  #content = 0;

  /**
   * `take` receives the entries behind the first folders, of which at most `most` are set apart; the bytes are valid
   * only during the call.
   */
  constructor(take: (bytes: Buffer) => void, subject: string, most = FOLDERS) {
    this.#take = take;
    this.#subject = subject;
    this.#most = most;
  }

  /** Takes the next bytes. */
  push(chunk: Buffer): void {
    // Entries up to `at` are passed on together, from here.
    let from = 0;
    let at = 0;
    const passOn = (): void => {
      if (at > from) this.#take(chunk.subarray(from, at));
    };
    while (at < chunk.length && !this.hasEnded) {
      if (this.#content > 0) {
        const count = Math.min(this.#content, chunk.length - at);
        at += count;
        this.#content -= count;
        continue;
      }
      const isSplit = this.#header.length > 0;
      const rest = chunk.subarray(at);
      const header = isSplit ? Buffer.concat([this.#header, rest.subarray(0, HEADER_LIMIT)]) : rest;
      const length = this.#wanted(header);
      if (header.length < length) {
        passOn();
        this.#header = Buffer.from(header);
        return;
      }
      const isEntry = this.#entry(header.subarray(0, length));
      if (isEntry && !isSplit) {
        at += length;
        continue;
      }
      passOn();
      if (isEntry) this.#take(header.subarray(0, length));
      at += length - this.#header.length;
      from = at;
      this.#header = Buffer.alloc(0);
    }
    passOn();
    if (chunk.subarray(at).some((byte) => byte !== 0)) throw this.#invalid("has data after its end");
  }

  // How long the headers of the next entry are, as far as its bytes tell.
  #wanted(bytes: Buffer): number {
    let length = BLOCK;
    while (bytes.length >= length) {
      const block = bytes.subarray(length - BLOCK, length);
      if (!"xgLK".includes(flagOf(block)) || isZero(block)) return length;
      const size = this.#number(block);
      length += size + padding(size, BLOCK) + BLOCK;
      if (length > HEADER_LIMIT) throw this.#invalid(`has a header of more than ${HEADER_LIMIT} bytes`);
    }
    return length;
  }

  // False for a folder that is set apart, and for the end.
  #entry(bytes: Buffer): boolean {
    const block = bytes.subarray(bytes.length - BLOCK);
    if (isZero(block)) {
      this.areFoldersDone = true;
      this.hasEnded = true;
      if (bytes.length > BLOCK) throw this.#invalid("ends where an entry was announced");
      return false;
    }
    this.#path = undefined;
    this.#size = undefined;
    if (bytes.length > BLOCK) this.#readPax(bytes);
    const size = this.#size ?? this.#number(block);
    if (flagOf(block) === "5" && size === 0 && !this.areFoldersDone && this.folders.length < this.#most) {
      const name = (this.#path ?? textAt(block, 0, 100)).replace(/\/+$/, "");
      this.folders.push({ name, bytes: Buffer.from(bytes) });
      this.folderBytes += bytes.length;
      return false;
    }
    this.areFoldersDone = true;
    this.#content = hasContent(flagOf(block)) ? size + padding(size, BLOCK) : 0;
    return true;
  }

  #readPax(bytes: Buffer): void {
    for (let at = 0; at + BLOCK < bytes.length; ) {
      const size = this.#number(bytes.subarray(at, at + BLOCK));
      const body = bytes.toString("latin1", at + BLOCK, at + BLOCK + size);
      if (flagOf(bytes.subarray(at, at + BLOCK)) === "L") this.#path = body.replace(/\0+$/, "");
      else {
        for (const [, digits, key, value] of body.matchAll(/(?<=^|\n)([0-9]+) (path|size)=([^\n]*)(?=\n)/g)) {
          if (digits === undefined || value === undefined) continue;
          if (key === "path") this.#path = value;
          else if (/^[0-9]{1,15}$/.test(value)) this.#size = Number(value);
        }
      }
      at += BLOCK + size + padding(size, BLOCK);
    }
  }

  // The size field: octal digits or, for larger numbers, a first byte of 0x80 and a binary number.
  #number(block: Buffer): number {
    if (block[124] === 0x80) return Number(block.readBigUInt64BE(128) & 0x1f_ffff_ffff_ffffn);
    const digits = /^ *([0-7]+)[ \0]*$/.exec(block.toString("latin1", 124, 136))?.[1];
    if (digits === undefined) throw this.#invalid("has a header without a size");
    return Number.parseInt(digits, 8);
  }

  #invalid(how: string): StaveError {
    return new StaveError("CONTENT_INVALID", `the archive of ${this.#subject} ${how}`, {
      subject: this.#subject,
      hint: "push the spec again",
    });
  }
}

const flagOf = (block: Buffer): string => String.fromCharCode(block[156] ?? 0);

// Links, folders and devices have none, whatever their size says.
const hasContent = (flag: string): boolean => !"123456".includes(flag);

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

function textAt(block: Buffer, at: number, length: number): ByteString {
  const text = block.toString("latin1", at, at + length);
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
