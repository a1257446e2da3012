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

/** Cuts streams into chunks and reuses their memory for later streams. */
export class Chunker {
  // As many are kept as were cut at once: large layers need them again and again.
  readonly #pool = new BufferPool(Number.POSITIVE_INFINITY);

  /** Yields a stream in chunks of `size` bytes; the last one may be smaller, and an empty stream has none. */
  async *cut(stream: AsyncIterable<Uint8Array>, size: number, options: CutOptions = {}): AsyncGenerator<Chunk> {
    const { recycle = () => {}, sizeOfMany } = options;
    let buffer = this.#pool.take(size);
    let filled = 0;
    let isFirst = true;
    for await (const part of stream) {
      for (let at = 0; at < part.byteLength; ) {
        // Yield a full chunk only when more bytes follow: until then it might be the last.
        if (filled === buffer.length) {
          const wanted = isFirst ? await sizeOfMany?.() : undefined;
          isFirst = false;
          if (wanted !== undefined && wanted > buffer.length) {
            const larger = this.#pool.take(wanted);
            larger.set(buffer);
            this.#pool.give(buffer);
            buffer = larger;
            continue;
          }
          yield { bytes: buffer, isLast: false };
          filled = 0;
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
