// The body of a request whose memory is freed as it is sent: undici asks for a chunk only after the one before it went
// to the system.
import type { Readable } from "node:stream";
import { releaserOf } from "../util/free-chunks.ts";

/** A socket may still hold chunks of at most this size when it asks for the next one: the size of its buffer. */
const MAY_BE_HELD = 64 * 1024;

/** A stream as an iterable body. */
export class FreedBody implements AsyncIterable<Buffer> {
  readonly #stream: Readable;
  readonly #release: (chunk: Uint8Array) => void;
  #isSending = false;

  private constructor(stream: Readable, release: (chunk: Uint8Array) => void) {
    this.#stream = stream;
    this.#release = release;
  }

  /** Undefined for a stream whose chunks others may use. */
  static of(stream: Readable): FreedBody | undefined {
    const release = releaserOf(stream);
    return release && new FreedBody(stream, release);
  }

  /** True while the network takes a chunk; false while it waits for one. */
  isPaused(): boolean {
    return this.#isSending;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      this.#isSending = true;
      yield chunk;
      this.#isSending = false;
      if (chunk.byteLength > MAY_BE_HELD) this.#release(chunk);
    }
  }
}
