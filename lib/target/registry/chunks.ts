// Cuts streams into chunks that stay in memory while they are sent.
import { BufferPool } from "../../util/buffer-pool.ts";

/** A part of a stream; its memory is reused for the next chunk. */
export interface Chunk {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** How to cut a stream. */
export interface CutOptions {
  /** Called with each part of the stream once it is copied. */
  readonly recycle?: ((part: Uint8Array) => void) | undefined;
  /** Called once if there is more than one chunk: the size of chunks, if it should be larger than the given one. */
  readonly sizeOfMany?: (() => Promise<number>) | undefined;
}

/** The memory of a stream begins with this many bytes: most streams are far smaller than a chunk. */
const START = 1024 * 1024;

/** Cuts streams into chunks and reuses their memory for later streams. */
export class Chunker {
  // As many are kept as were cut at once: large layers need them again and again.
  readonly #pool = new BufferPool(Number.POSITIVE_INFINITY);

  /** Yields a stream in chunks of `size` bytes; the last one may be smaller, and an empty stream has none. */
  async *cut(stream: AsyncIterable<Uint8Array>, size: number, options: CutOptions = {}): AsyncGenerator<Chunk> {
    const { recycle = () => {}, sizeOfMany } = options;
    let buffer = this.#pool.take(Math.min(size, START));
    let filled = 0;
    let isFirst = true;
    const grow = (to: number): void => {
      const larger = this.#pool.take(to);
      larger.set(buffer);
      this.#pool.give(buffer);
      buffer = larger;
    };
    for await (const part of stream) {
      for (let at = 0; at < part.byteLength; ) {
        if (filled === buffer.length) {
          let room = size;
          if (filled >= size && isFirst) {
            isFirst = false;
            room = (await sizeOfMany?.()) ?? size;
          }
          if (room > filled) grow(room);
          else {
            // More bytes follow, so this chunk is not the last.
            yield { bytes: buffer, isLast: false };
            filled = 0;
          }
        }
        const some = part.subarray(at, at + buffer.length - filled);
        buffer.set(some, filled);
        filled += some.byteLength;
        at += some.byteLength;
      }
      recycle(part);
    }
    if (filled > 0) yield { bytes: buffer.subarray(0, filled), isLast: true };
    // Not after a failure: the buffer may still be in use by a request.
    this.#pool.give(buffer);
  }
}
