// Unpacks the archive of a spec: decompressed, checked against its digest and its limits, and written as it arrives.
import { pipeline, type Readable, Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import { messageOf, StaveError } from "../errors.ts";
import { TarReader } from "../image/tar-reader.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";
import { digestMismatch } from "../util/stream.ts";
import { createZstdReader } from "../util/zstd.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_PERMISSIONS,
  type Permissions,
  TreeWriter,
  type Unpacked,
  type UnpackLimits,
} from "./tree-writer.ts";

/** How an archive is unpacked. */
export interface UnpackOptions {
  readonly compression: "gzip" | "zstd" | "none";
  readonly permissions?: Permissions | undefined;
  readonly limits?: UnpackLimits | undefined;
  /** What the uncompressed archive must be. */
  readonly diffId?: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of the bytes that were taken, compressed ones. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/**
 * Unpacks into `folder`, which must be empty and which nobody else writes to; the stream is read to its end or destroyed.
 * After a failure the folder holds a part of the archive, and is for the caller to remove. Throws ARCHIVE_UNSAFE,
 * CONTENT_INVALID, TOO_LARGE, DIGEST_MISMATCH, FILE_SYSTEM, and what the stream fails with.
 */
export async function unpackArchive(stream: Readable, folder: string, options: UnpackOptions): Promise<Unpacked> {
  const { compression, permissions = DEFAULT_PERMISSIONS, limits = DEFAULT_LIMITS, diffId, signal, onBytes } = options;
  const writer = new TreeWriter(folder, permissions, limits);
  const reader = new TarReader(writer);
  const digester = diffId === undefined ? undefined : new Digester(algorithmOf(diffId));
  let taken = 0;
  const bytes = inflate(stream, compression, (count) => {
    taken += count;
    onBytes?.(count);
  });
  let size = 0;
  const onAbort = (): void => void stream.destroy(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    signal?.throwIfAborted();
    for await (const chunk of bytes) {
      size += chunk.length;
      checkSize(size, taken, limits);
      digester?.update(chunk);
      reader.push(chunk);
      if (compression !== "none") free(chunk);
    }
    reader.end();
    const actual = digester?.digest();
    if (diffId !== undefined && actual !== undefined && actual !== diffId)
      throw digestMismatch("the uncompressed archive", diffId, actual);
    return writer.end();
  } finally {
    signal?.removeEventListener("abort", onAbort);
    writer.close();
    stream.destroy();
  }
}

const FREE_OF_RATIO = 256 * 1024 * 1024;

function checkSize(size: number, taken: number, limits: UnpackLimits): void {
  const most = Math.min(limits.bytes, Math.max(FREE_OF_RATIO, taken * limits.ratio));
  if (size > most)
    throw new StaveError("TOO_LARGE", `the archive has more than ${most} bytes when ${taken} of it are decompressed`, {
      hint: "it was not made by Spack or stave; do not use it",
    });
}

// What the source fails with passes as it is; what the decompressor fails with is the archive's fault.
async function* inflate(
  source: Readable,
  compression: UnpackOptions["compression"],
  onTaken: (count: number) => void,
): AsyncGenerator<Buffer> {
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onTaken(chunk.length);
      done(null, chunk);
    },
  });
  const last = compression === "none" ? counted : compression === "gzip" ? createGunzip(GUNZIP) : createZstdReader();
  let fromSource: unknown;
  source.once("error", (error) => {
    fromSource = error;
  });
  // Errors are seen by whoever reads the last stream; destroying that one destroys all.
  const ignore = (): void => {};
  if (last === counted) pipeline(source, counted, ignore);
  else pipeline(source, counted, last, ignore);
  try {
    for await (const chunk of last) yield chunk;
  } catch (cause) {
    if (cause === fromSource || cause instanceof StaveError || compression === "none") throw cause;
    throw new StaveError("CONTENT_INVALID", `the archive is no whole ${compression} stream: ${messageOf(cause)}`, {
      cause,
      hint: "push the spec again",
    });
  }
}

// Gives memory back at once: the collector would let megabytes of it pile up, because it sees only small objects. What the
// decompressor may still write to is left alone.
function free({ buffer, byteOffset, length }: Buffer): void {
  const isWhole = byteOffset + length === buffer.byteLength && buffer.byteLength > Buffer.poolSize;
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

const GUNZIP = { chunkSize: 1 << 18 };
