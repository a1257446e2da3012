// Keeps what the loader reads of an ELF file while its bytes stream past. Code and data of any size do not fit into
// memory, so only the start of each loaded segment is kept; the tables that the loader reads lie there.
import { type ElfFacts, neededRanges, readElfFacts } from "./elf-facts.ts";

/** The first bytes, with the program headers. */
const HEAD = 64 * 1024;
/** Maximum number of bytes kept of one segment. */
const SEGMENT_LIMIT = 32 * 1024 * 1024;
/** Maximum number of bytes kept of one file. */
const FILE_LIMIT = 96 * 1024 * 1024;

interface Part {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Takes the bytes of one file in order. */
export class ElfCollector {
  readonly #size: number;
  readonly #head: Buffer;
  #taken = 0;
  #parts: Part[] | undefined;

  constructor(size: number) {
    this.#size = size;
    this.#head = Buffer.allocUnsafe(Math.min(size, HEAD));
  }

  /** Takes the next bytes, which are copied if they are needed. */
  push(bytes: Buffer): void {
    const at = this.#taken;
    this.#taken += bytes.length;
    if (at < this.#head.length) bytes.copy(this.#head, at, 0, this.#head.length - at);
    if (this.#taken < this.#head.length) return;
    if (this.#parts === undefined) {
      this.#parts = this.#plan();
      keep(this.#parts, 0, this.#head);
    }
    keep(this.#parts, at, bytes);
  }

  /** What the loader reads of the file; undefined as in `readElfFacts`. */
  facts(): ElfFacts | undefined {
    const parts = [{ offset: 0, bytes: this.#head }, ...(this.#parts ?? [])];
    const read = (offset: number, length: number): Buffer | undefined => {
      const part = parts.find((one) => offset >= one.offset && offset + length <= one.offset + one.bytes.length);
      return part?.bytes.subarray(offset - part.offset, offset - part.offset + length);
    };
    return readElfFacts({ size: this.#size, read });
  }

  // A file whose program headers are not at its start is kept from its start on.
  #plan(): Part[] {
    const ranges = neededRanges(this.#head, this.#size) ?? [{ offset: 0, length: this.#size }];
    let room = FILE_LIMIT;
    const parts: Part[] = [];
    for (const { offset, length } of ranges) {
      const most = Math.min(length, SEGMENT_LIMIT, room, this.#size - offset);
      if (most <= 0) continue;
      room -= most;
      parts.push({ offset, bytes: Buffer.allocUnsafe(most) });
    }
    return parts;
  }
}

function keep(parts: readonly Part[], at: number, bytes: Buffer): void {
  for (const { offset, bytes: kept } of parts) {
    const start = Math.max(at, offset);
    const end = Math.min(at + bytes.length, offset + kept.length);
    if (start < end) bytes.copy(kept, start - offset, start - at, end - at);
  }
}
