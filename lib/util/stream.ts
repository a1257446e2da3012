// Byte streams: sources that can be reopened at an offset, and transforms that verify, skip and bound.
import { finished, Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";
import { giveAway } from "./free-chunks.ts";

/** Bytes that can be read again: each retry opens a new stream. */
export interface Source {
  /** Length in bytes. */
  readonly size: number;
  /** A stream from the start fails at its end unless the digest matches, so callers need not hash it again. */
  readonly isVerified?: boolean | undefined;
  /**
   * The digest in the blob's descriptor costs nothing once the bytes have been read to the end; asking for it earlier
   * costs a pass of its own. A registry therefore gets the bytes first.
   */
  readonly hasLateDigest?: boolean | undefined;
  /** All of them, if they are in memory. */
  readonly bytes?: Uint8Array | undefined;
  /** Opens the bytes from `offset` to the end. The caller must consume or destroy the stream. */
  open(offset?: number): Readable | Promise<Readable>;
}

/** A source over bytes in memory. */
export function bytesSource(bytes: Uint8Array): Source {
  return {
    size: bytes.byteLength,
    bytes,
    open: (offset = 0) =>
      Readable.from(offset >= bytes.byteLength ? [] : [bytes.subarray(offset)], { objectMode: false }),
  };
}

/** The expected digest and size of content. */
export interface Expectation {
  digest: Digest;
  size: number;
}

/**
 * Passes chunks through and fails before `end` unless they have the expected digest and size. A stream that is too long
 * fails as soon as it exceeds the size. The chunks are not copied, and belong to the reader. Destroying either stream
 * destroys both, even before anything was read. Throws DIGEST_MISMATCH or SIZE_MISMATCH.
 */
export function verifiedStream(chunks: Readable, expected: Expectation, subject: string): Readable {
  async function* verified(): AsyncIterable<Buffer> {
    const digester = new Digester(algorithmOf(expected.digest));
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      digester.update(chunk);
      if (digester.size > expected.size) throw sizeMismatch(subject, expected.size, `more than ${expected.size}`);
      yield chunk;
    }
    if (digester.size !== expected.size) throw sizeMismatch(subject, expected.size, String(digester.size));
    const actual = digester.digest();
    if (actual !== expected.digest) throw digestMismatch(subject, expected.digest, actual);
  }
  // In object mode, no chunks are joined.
  const out = Readable.from(verified(), { objectMode: true, highWaterMark: 1 });
  out.once("close", () => chunks.destroy());
  return giveAway(out);
}

/** How many chunks may wait for a reader of `unjoined`. */
const WAITING = 4;

/**
 * The chunks of a stream as they arrive. Node's own iterator joins those that wait, which copies them. Destroys the
 * stream when its reader stops.
 */
export async function* unjoined(stream: Readable): AsyncGenerator<Buffer> {
  const waiting: Buffer[] = [];
  let isOver = false;
  let failure: unknown;
  let wake = (): void => {};
  const onData = (chunk: Buffer): void => {
    waiting.push(chunk);
    if (waiting.length >= WAITING) stream.pause();
    wake();
  };
  const forget = finished(stream, { writable: false }, (error) => {
    isOver = true;
    failure = error;
    wake();
  });
  stream.on("data", onData);
  try {
    for (;;) {
      const chunk = waiting.shift();
      if (chunk !== undefined) {
        if (waiting.length === 0 && !isOver) stream.resume();
        yield chunk;
      } else if (failure) throw failure;
      else if (isOver) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stream.off("data", onData);
    forget();
    stream.destroy();
  }
}

/** The bytes after the first `count`. Destroying either stream destroys both, even before anything was read. */
export function withoutFirst(stream: Readable, count: number): Readable {
  async function* rest(): AsyncIterable<Buffer> {
    let left = count;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (left >= chunk.byteLength) left -= chunk.byteLength;
      else {
        yield left > 0 ? chunk.subarray(left) : chunk;
        left = 0;
      }
    }
  }
  const out = Readable.from(rest(), { objectMode: false });
  out.once("close", () => stream.destroy());
  return out;
}

/** The error for content with an unexpected digest. */
export function digestMismatch(subject: string, expected: Digest, actual: Digest): StaveError {
  return new StaveError("DIGEST_MISMATCH", `${subject} has digest ${actual}, expected ${expected}`, {
    subject,
    hint: "the content was modified or damaged in transit; try again, and push it again if the error persists",
  });
}

/** The error for content of an unexpected size. */
export function sizeMismatch(subject: string, expected: number, actual: string): StaveError {
  return new StaveError("SIZE_MISMATCH", `${subject} has ${actual} bytes, expected ${expected}`, { subject });
}

/** Reads a whole stream of at most `limit` bytes. Throws TOO_LARGE beyond that, and destroys the stream. */
export async function readAll(stream: AsyncIterable<Uint8Array>, limit: number, subject: string): Promise<Buffer> {
  return await joined(
    stream,
    limit,
    () => new StaveError("TOO_LARGE", `${subject} is larger than the limit of ${limit} bytes`, { subject }),
  );
}

/** Reads a stream of at most `limit` bytes into one buffer. Throws what `tooLarge` makes if there are more. */
export async function joined(stream: AsyncIterable<Uint8Array>, limit: number, tooLarge: () => Error): Promise<Buffer> {
  // Chunks are copied at once: there may be one for each byte, and such an object has hundreds of times its size.
  let memory = Buffer.alloc(0);
  let size = 0;
  for await (const chunk of stream) {
    const end = size + chunk.byteLength;
    if (end > limit) throw tooLarge();
    if (end > memory.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(end, 2 * memory.byteLength));
      memory.copy(larger, 0, 0, size);
      memory = larger;
    }
    memory.set(chunk, size);
    size = end;
  }
  return size === memory.byteLength ? memory : Buffer.from(memory.subarray(0, size));
}

/** Reads a stream of exactly `size` bytes into one buffer. Throws SIZE_MISMATCH, and destroys the stream. */
export async function readSized(stream: AsyncIterable<Uint8Array>, size: number, subject: string): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  for await (const chunk of stream) {
    if (filled + chunk.byteLength > size) throw sizeMismatch(subject, size, `more than ${size}`);
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  }
  if (filled !== size) throw sizeMismatch(subject, size, String(filled));
  return bytes;
}
