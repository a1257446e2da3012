// The text of a large index in a file: records keep only where their text is, and read it when it is needed.
import { closeSync, readSync } from "node:fs";
import { StaveError } from "../errors.ts";
import type { LongText } from "./json-scanner.ts";
import { type IndexRecord, RecordWithoutText } from "./record.ts";
import { endsWithTrueHash } from "./record-scanner.ts";

/** Bytes to read at once, if records are read one after the other. */
const AHEAD = 256 * 1024;

// An index has no end of use that its users would have to announce.
const open = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

/** What to know about the file of an index. */
export interface IndexFileOptions {
  /** Open for reading; closed with the last reference to the index. */
  readonly descriptor: number;
  /** Bytes. */
  readonly size: number;
  /** For messages. */
  readonly name: string;
  /** Called if a record is not what it was. */
  readonly onDamage?: (() => void) | undefined;
}

/** The file of an index. */
export class IndexFile implements LongText {
  readonly size: number;
  /** The content was not verified as a whole, so each record is verified when it is read. */
  isDoubtful = true;
  readonly #options: IndexFileOptions;
  #page = Buffer.alloc(0);
  #pageFrom = 0;
  #readTo = 0;

  constructor(options: IndexFileOptions) {
    this.#options = options;
    this.size = options.size;
    open.register(this, options.descriptor);
  }

  readInto(into: Buffer, from: number): number {
    let filled = 0;
    const most = Math.min(into.byteLength, this.size - from);
    while (filled < most) {
      const count = readSync(this.#options.descriptor, into, filled, most - filled, from + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  /** The text of a record. Throws CONTENT_INVALID if the file was changed. */
  textOf(hash: string, from: number, length: number): Uint8Array {
    const text = this.#part(from, length);
    const { onDamage, name } = this.#options;
    if (text.byteLength === length && (!this.isDoubtful || endsWithTrueHash(text, hash))) return text;
    onDamage?.();
    throw new StaveError("CONTENT_INVALID", `${name} was changed while it was used: the record of ${hash} is damaged`, {
      subject: name,
      hint: "run the same command again",
    });
  }

  // Records that follow each other are read together.
  #part(from: number, length: number): Buffer {
    const at = from - this.#pageFrom;
    if (at < 0 || at + length > this.#page.byteLength) {
      const isNext = from >= this.#readTo && from - this.#readTo < AHEAD;
      // Texts of earlier records may be in use, so each page has its own memory.
      const page = Buffer.allocUnsafeSlow(isNext ? Math.max(AHEAD, length) : length);
      const count = this.readInto(page, from);
      this.#readTo = from + length;
      if (!isNext) return page.subarray(0, count);
      this.#page = page.subarray(0, count);
      this.#pageFrom = from;
    }
    this.#readTo = from + length;
    return this.#page.subarray(from - this.#pageFrom, from - this.#pageFrom + length);
  }
}

/** A record whose text is in a file. */
export class FileRecord extends RecordWithoutText implements IndexRecord {
  readonly inBuildcache: boolean;
  readonly refCount: number | undefined;
  readonly #file: IndexFile;
  /** Where the text is in the file, in bytes. */
  readonly from: number;
  readonly length: number;

  constructor(record: Omit<IndexRecord, "text">, file: IndexFile, from: number, length: number) {
    super(record);
    this.inBuildcache = record.inBuildcache;
    this.refCount = record.refCount;
    this.#file = file;
    this.from = from;
    this.length = length;
  }

  get text(): Uint8Array {
    return this.#file.textOf(this.hash, this.from, this.length);
  }
}
