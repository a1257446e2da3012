// The text of a large index in a file: records keep only where their text is, and read it when it is needed.
import { closeSync, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { StaveError } from "../errors.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";
import type { LongText } from "./json-scanner.ts";
import { type IndexRecord, type NodeRecord, RecordWithoutText } from "./record.ts";
import { endsWithTrueHash } from "./record-scanner.ts";

/** Bytes to read at once, if records are read one after the other. */
const AHEAD = 256 * 1024;
/** The size of reads when all of a file is needed. */
const PIECE = 1024 * 1024;

const readPiece = promisify(read);

// An index has no end of use that its users would have to announce.
const open = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

/** What to know about the file of an index. */
export interface IndexFileOptions {
  /** Open for reading; closed with the last reference to the index. */
  readonly descriptor: number;
  /** Bytes. */
  readonly size: number;
  /** What the content should have. */
  readonly digest: Digest;
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
  // Where the texts of records pass through on their way to somewhere else.
  #passage: Buffer | undefined;
  #passageFrom = 0;
  #passageSize = 0;
  #copiedTo = 0;

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

  /** True if the content has its digest. Reads in the background, while this thread hashes. */
  async isWhole(): Promise<boolean> {
    const { digest, descriptor } = this.#options;
    const digester = new Digester(algorithmOf(digest));
    const pieces = [Buffer.allocUnsafe(PIECE), Buffer.allocUnsafe(PIECE)] as const;
    const start = (from: number, piece: Buffer) =>
      readPiece(descriptor, piece, 0, Math.min(piece.byteLength, this.size - from), from);
    let [piece, other] = pieces;
    let reading = start(0, piece);
    while (digester.size < this.size) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) return false;
      const read = piece.subarray(0, bytesRead);
      [piece, other] = [other, piece];
      reading = start(digester.size + bytesRead, piece);
      digester.update(read);
    }
    await reading;
    return digester.digest() === digest;
  }

  /** The text of a record. Throws CONTENT_INVALID if the file was changed. */
  textOf(hash: string, from: number, length: number): Uint8Array {
    return this.#checked(this.#part(from, length), hash, length);
  }

  /** Copies the text of a record. The memory of earlier ones is used again. Throws as `textOf`. */
  copyText(hash: string, from: number, length: number, into: Buffer, at: number): void {
    const isNext = from >= this.#copiedTo && from - this.#copiedTo < AHEAD;
    this.#copiedTo = from + length;
    let start = from - this.#passageFrom;
    const isThere = start >= 0 && start + length <= this.#passageSize;
    // Records in another order than the file's are read one by one.
    if (!isThere && (!isNext || length > PIECE)) {
      const text = into.subarray(at, at + length);
      this.#checked(text.subarray(0, this.readInto(text, from)), hash, length);
      return;
    }
    this.#passage ??= Buffer.allocUnsafeSlow(PIECE);
    if (!isThere) {
      this.#passageFrom = from;
      this.#passageSize = this.readInto(this.#passage, from);
      start = 0;
    }
    const text = this.#passage.subarray(start, Math.min(start + length, this.#passageSize));
    into.set(this.#checked(text, hash, length), at);
  }

  #checked(text: Buffer, hash: string, length: number): Buffer {
    if (text.byteLength === length && (!this.isDoubtful || endsWithTrueHash(text, hash))) return text;
    throw this.#damaged(`the record of ${hash} is damaged`);
  }

  #damaged(problem: string): StaveError {
    const { onDamage, name } = this.#options;
    onDamage?.();
    return new StaveError("CONTENT_INVALID", `${name} was changed while it was used: ${problem}`, {
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
export interface RecordInFile extends IndexRecord {
  readonly file: IndexFile;
  /** Where the text is in the file, in bytes. */
  readonly from: number;
  readonly length: number;
}

/** True for a record whose text is in the file of an index, false if it is in memory. */
export function isInFile(record: NodeRecord): record is RecordInFile {
  return "file" in record && record.file instanceof IndexFile;
}

/** A record of a file that was read without a directory. */
export class FileRecord extends RecordWithoutText implements RecordInFile {
  readonly inBuildcache: boolean;
  readonly refCount: number | undefined;
  readonly file: IndexFile;
  readonly from: number;
  readonly length: number;

  constructor(record: Omit<IndexRecord, "text">, file: IndexFile, from: number, length: number) {
    super(record);
    this.inBuildcache = record.inBuildcache;
    this.refCount = record.refCount;
    this.file = file;
    this.from = from;
    this.length = length;
  }

  get text(): Uint8Array {
    return this.file.textOf(this.hash, this.from, this.length);
  }
}
