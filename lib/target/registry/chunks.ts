// Streams in chunks that are held in memory while they are sent.

/** A part of a stream; its memory is used again for the next one. */
export interface Chunk {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** Cuts streams into chunks. The memory of one that has ended is used for the next. */
export class Chunker {
  readonly #spare: Buffer[] = [];

  /**
   * Yields a stream in chunks of a size; the last one may be smaller, and there is none of an empty stream. `recycle` hears
   * of each part of the stream that has been copied.
   */
  async *cut(
    stream: AsyncIterable<Uint8Array>,
    size: number,
    recycle: (part: Uint8Array) => void = () => {},
  ): AsyncGenerator<Chunk> {
    const buffer = this.#take(size);
    let filled = 0;
    for await (const part of stream) {
      for (let at = 0; at < part.byteLength; ) {
        // Not sooner: only now it is known not to be the last one.
        if (filled === size) {
          yield { bytes: buffer, isLast: false };
          filled = 0;
        }
        const some = part.subarray(at, at + size - filled);
        buffer.set(some, filled);
        filled += some.byteLength;
        at += some.byteLength;
      }
      recycle(part);
    }
    if (filled > 0) yield { bytes: buffer.subarray(0, filled), isLast: true };
    // Not after a failure: then it may still be on its way.
    this.#spare.push(buffer);
  }

  #take(size: number): Buffer {
    const at = this.#spare.findIndex(({ length }) => length === size);
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    return spare ?? Buffer.allocUnsafeSlow(size);
  }
}
