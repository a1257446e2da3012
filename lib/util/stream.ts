// Byte streams: sources that can be reopened at an offset, and transforms that verify, skip and bound.
import { Readable, Transform, type TransformCallback } from "node:stream";
import { StaveError } from "../errors.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";

/** Bytes that can be read again: each retry opens a new stream. */
export interface Source {
  /** Length in bytes. */
  readonly size: number;
  /** A stream from the start fails at its end unless the digest matches, so callers need not hash it again. */
  readonly isVerified?: boolean | undefined;
  /** Opens the bytes from `offset` to the end. The caller must consume or destroy the stream. */
  open(offset?: number): Readable | Promise<Readable>;
}

/** A source over bytes in memory. */
export function bytesSource(bytes: Uint8Array): Source {
  return {
    size: bytes.byteLength,
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
 * Passes bytes through and fails before `end` unless they have the expected digest and size. A stream that is too long
 * fails as soon as it exceeds the size. Throws DIGEST_MISMATCH or SIZE_MISMATCH.
 */
export function verifyStream(expected: Expectation, subject: string): Transform {
  const digester = new Digester(algorithmOf(expected.digest));
  return new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      digester.update(chunk);
      if (digester.size > expected.size) done(sizeMismatch(subject, expected.size, `more than ${expected.size}`));
      else done(null, chunk);
    },
    flush(done: TransformCallback) {
      if (digester.size !== expected.size) return done(sizeMismatch(subject, expected.size, String(digester.size)));
      const actual = digester.digest();
      return done(actual === expected.digest ? null : digestMismatch(subject, expected.digest, actual));
    },
  });
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
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > limit)
      throw new StaveError("TOO_LARGE", `${subject} is larger than the limit of ${limit} bytes`, { subject });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
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
