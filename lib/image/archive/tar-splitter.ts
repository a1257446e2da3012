// Splits a tar archive into the folders that it begins with, the other entries, and its end. Passes bytes on unchanged.
// Looks only at what it needs for that: an archive is checked by those who unpack it.
import type { ByteString } from "../../util/byte-string.ts";
import { contentLength, headersLength, invalidArchive, readHeaders } from "./tar-headers.ts";

/** A folder at the beginning of an archive. */
export interface TarFolder {
  readonly name: ByteString;
  /** Its header, with the pax header before it, if any. */
  readonly bytes: Buffer;
}

const HEADERS_AT_ONCE = 1 << 20;
/** How many folders are set apart by default. */
const FOLDERS = 10_000;

/** Splits an archive that is pushed piece by piece. Throws CONTENT_INVALID and ARCHIVE_UNSAFE, as `readHeaders`. */
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
      const header = isSplit ? Buffer.concat([this.#header, rest.subarray(0, HEADERS_AT_ONCE)]) : rest;
      const length = headersLength(header, this.#subject);
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
    if (chunk.subarray(at).some((byte) => byte !== 0)) throw invalidArchive(this.#subject, "has data after its end");
  }

  // False for a folder that is set apart, and for the end.
  #entry(bytes: Buffer): boolean {
    const headers = readHeaders(bytes, this.#subject);
    if (headers === undefined) {
      this.areFoldersDone = true;
      this.hasEnded = true;
      return false;
    }
    const { flag, size } = headers;
    if (flag === "5" && size === 0 && !this.areFoldersDone && this.folders.length < this.#most) {
      this.folders.push({ name: headers.name.replace(/\/+$/, ""), bytes: Buffer.from(bytes) });
      this.folderBytes += bytes.length;
      return false;
    }
    this.areFoldersDone = true;
    this.#content = contentLength(headers);
    return true;
  }
}
