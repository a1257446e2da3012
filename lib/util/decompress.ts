// Decompresses gzip and zstd content of any number of members, down to the last byte. Node's decoders silently ignore
// bytes that follow a member in the same chunk, and never signal their end again (seen in Node 24.21, 2026-11-21).
import { createGunzip, createZstdDecompress, gunzipSync } from "node:zlib";
import { messageOf, StaveError, systemCode } from "../errors.ts";
import { releaseAround } from "./free-chunks.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** A compression format. */
export type CompressionMethod = "gzip" | "zstd";

/**
 * Decompresses what is written to it, one write at a time; `take` must not keep a piece after it returns. Zeros after
 * the last gzip member are ignored, as in `gunzip`; other bytes outside a member or frame are CONTENT_INVALID.
 */
export class Decompressor implements Disposable {
  readonly #method: CompressionMethod;
  readonly #take: (bytes: Buffer) => void;
  readonly #subject: string;
  #decoder: Decoder | undefined;
  readonly #frames: ZstdFrames | undefined;
  // After the last gzip member only zeros may follow.
  #isOver = false;

  constructor(method: CompressionMethod, take: (bytes: Buffer) => void, subject: string) {
    this.#method = method;
    this.#take = take;
    this.#subject = subject;
    this.#decoder = this.#open();
    this.#frames = method === "zstd" ? new ZstdFrames() : undefined;
  }

  /** Resolves when all output of the chunk was taken. Throws what `take` throws, and CONTENT_INVALID. */
  async write(chunk: Buffer): Promise<void> {
    this.#frames?.read(chunk);
    for (let rest = chunk; rest.length > 0; ) {
      if (this.#isOver) return checkPadding(rest, this.#subject);
      this.#decoder ??= this.#open();
      const taken = await this.#decoder.write(rest);
      if (taken === rest.length) return;
      // The member ended inside the chunk. Node's gunzip reads consecutive members by itself and stops before zeros.
      await this.#close();
      this.#isOver = this.#method === "gzip";
      // Bytes that the decoder does not take would otherwise be offered forever.
      if (taken === 0 && !this.#isOver) throw this.#broken("unexpected data follows it");
      rest = rest.subarray(taken);
    }
  }

  /** Ends the input. Throws CONTENT_INVALID if it is truncated. */
  async end(): Promise<void> {
    if (this.#frames?.isComplete === false) throw this.#broken("it ends in the middle of a frame");
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
  const content = gunzipUpTo(bytes, limit, subject);
  if (content !== undefined) return content;
  throw notWhole(subject, "gzip", `it is larger (the limit is ${limit} bytes)`);
}

/** As `gunzip`, but returns undefined for content of more than `limit` bytes. */
export function gunzipUpTo(bytes: Buffer, limit: number, subject: string): Buffer | undefined {
  let taken: number;
  let buffer: Buffer;
  try {
    // Node's types lack the result that `info` gives.
    const options = { maxOutputLength: limit, info: true, chunkSize: chunkSizeFor(bytes, limit) };
    const result = gunzipSync(bytes, options) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    ({ buffer } = result);
    taken = result.engine.bytesWritten;
  } catch (cause) {
    if (systemCode(cause) === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw notWhole(subject, "gzip", messageOf(cause), cause);
  }
  checkPadding(bytes.subarray(taken), subject);
  return buffer;
}

// The usual size of the content in one piece: many small pieces would have to be joined.
function chunkSizeFor(bytes: Buffer, limit: number): number {
  return Math.min(Math.max(8 * bytes.length, 16 * 1024), 4 * 1024 * 1024, Math.max(limit, 64));
}

function checkPadding(bytes: Buffer, subject: string): void {
  if (!bytes.equals(Buffer.alloc(bytes.length))) throw notWhole(subject, "gzip", "unexpected data follows it");
}

function notWhole(subject: string, method: CompressionMethod, why: string, cause?: unknown): StaveError {
  return new StaveError("CONTENT_INVALID", `${subject} is not a complete ${method} stream: ${why}`, {
    hint: "push the spec again",
    ...(cause === undefined ? {} : { cause }),
  });
}

// One of Node's decoders. It keeps its outcome, so nothing waits for an event that has already fired.
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

  /** Returns the number of bytes it consumed: fewer than given once it has ended. */
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

  /** Resolves when all output was delivered. */
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
      // The decompressor may still write into the rest of the buffer.
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

// A member of 1 MiB, the size that stave packs, decompresses to one piece.
const GUNZIP = { chunkSize: 1 << 20 };
