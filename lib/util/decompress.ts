// Decompresses gzip and zstd content of any number of members, to its last byte. Node's decoders stop at what follows a
// member in the same chunk without a word, and never say again that they have ended (seen in Node 24.21, 2026-11-21).
import { createGunzip, createZstdDecompress, gunzipSync } from "node:zlib";
import { messageOf, StaveError } from "../errors.ts";
import { releaseAround } from "./memory.ts";

/** How content is compressed. */
export type CompressionMethod = "gzip" | "zstd";

/**
 * Decompresses what is written to it, one write at a time; `take` is done with each piece on return. Zeros behind the last
 * gzip member are ignored, as `gunzip` does; any other bytes that belong to no member or frame are CONTENT_INVALID.
 */
export class Decompressor implements Disposable {
  readonly #method: CompressionMethod;
  readonly #take: (bytes: Buffer) => void;
  readonly #subject: string;
  #decoder: Decoder | undefined;
  // Behind the last gzip member: only zeros may follow.
  #isOver = false;

  constructor(method: CompressionMethod, take: (bytes: Buffer) => void, subject: string) {
    this.#method = method;
    this.#take = take;
    this.#subject = subject;
    this.#decoder = this.#open();
  }

  /** Done when all that a chunk gives was taken. Throws what taking it does, and CONTENT_INVALID. */
  async write(chunk: Buffer): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      if (this.#isOver) return checkPadding(rest, this.#subject);
      this.#decoder ??= this.#open();
      const taken = await this.#decoder.write(rest);
      if (taken === rest.length) return;
      // The member has ended inside the chunk. Of gzip, all members but one in front of zeros are read in one go.
      await this.#close();
      this.#isOver = this.#method === "gzip";
      // What the decoder would never take must not be offered again for ever.
      if (taken === 0 && !this.#isOver) throw this.#broken("it is followed by something else");
      rest = rest.subarray(taken);
    }
  }

  /** Throws also when something is missing. */
  async end(): Promise<void> {
    if (this.#decoder !== undefined) await this.#close();
  }

  [Symbol.dispose](): void {
    this.#decoder?.destroy();
  }

  #open(): Decoder {
    return new Decoder(this.#method, this.#take, (why) => this.#broken(why));
  }

  async #close(): Promise<void> {
    await this.#decoder?.end();
    this.#decoder = undefined;
  }

  #broken(why: string, cause?: unknown): StaveError {
    return notWhole(this.#subject, this.#method, why, cause);
  }
}

/** Decompresses a whole gzip text of at most `limit` bytes, by the rules of Decompressor. Throws CONTENT_INVALID. */
export function gunzip(bytes: Buffer, limit: number, subject: string): Buffer {
  let taken: number;
  let buffer: Buffer;
  try {
    // Node's types do not know what `info` makes of the result.
    const options = { maxOutputLength: limit, info: true };
    const result = gunzipSync(bytes, options) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    ({ buffer } = result);
    taken = result.engine.bytesWritten;
  } catch (cause) {
    throw notWhole(subject, "gzip", `${messageOf(cause)} (at most ${limit} bytes are read)`, cause);
  }
  checkPadding(bytes.subarray(taken), subject);
  return buffer;
}

function checkPadding(bytes: Buffer, subject: string): void {
  if (!bytes.equals(Buffer.alloc(bytes.length))) throw notWhole(subject, "gzip", "it is followed by something else");
}

function notWhole(subject: string, method: CompressionMethod, why: string, cause?: unknown): StaveError {
  return new StaveError("CONTENT_INVALID", `${subject} is no whole ${method} stream: ${why}`, {
    hint: "push the spec again",
    ...(cause === undefined ? {} : { cause }),
  });
}

// One of Node's decoders. What became of it is kept, so that nothing waits for an event that has passed.
class Decoder {
  readonly #stream: ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;
  readonly #take: (bytes: Buffer) => void;
  #failure: { readonly error: unknown } | undefined;
  #wake = (): void => {};

  constructor(method: CompressionMethod, take: (bytes: Buffer) => void, broken: (why: string, cause: Error) => Error) {
    this.#take = take;
    this.#stream = method === "gzip" ? createGunzip(GUNZIP) : createZstdDecompress();
    this.#stream.on("data", (bytes: Buffer) => this.#piece(bytes));
    this.#stream.on("end", () => this.#wake());
    this.#stream.on("error", (cause) => this.#fail(broken(messageOf(cause), cause)));
    this.#stream.on("close", () => this.#wake());
  }

  /** Returns how many bytes it has taken: fewer than it got when it is at its end. */
  async write(bytes: Buffer): Promise<number> {
    const before = this.#stream.bytesWritten;
    let isDone = false;
    await this.#until(
      () => isDone,
      () =>
        this.#stream.write(bytes, () => {
          isDone = true;
          this.#wake();
        }),
    );
    return this.#stream.bytesWritten - before;
  }

  /** Done when everything has been given out. */
  async end(): Promise<void> {
    await this.#until(
      () => this.#stream.readableEnded,
      () => this.#stream.end(),
    );
    this.destroy();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  async #until(isDone: () => boolean, begin: () => void): Promise<void> {
    if (!this.#failure && !this.#stream.closed) begin();
    while (!isDone() && !this.#failure && !this.#stream.closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#failure) throw this.#failure.error;
    if (!isDone()) throw new StaveError("INTERNAL", "a decompressor was used after its end");
  }

  #piece(bytes: Buffer): void {
    if (this.#failure) return;
    try {
      this.#take(bytes);
      // What the decompressor may still write to is left alone.
      if (bytes.byteOffset + bytes.length === bytes.buffer.byteLength) releaseAround(bytes);
    } catch (error) {
      this.#fail(error);
      this.destroy();
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }
}

// What is packed in members of 1 MiB comes out in one piece each.
const GUNZIP = { chunkSize: 1 << 20 };
