// Unpacks the archive of a spec: decompresses it, verifies its digest and limits, and writes it as it arrives.
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { algorithmOf, type Digest, Digester } from "../../oci/digest.ts";
import { type CompressionMethod, Decompressor, gunzipUpTo } from "../../util/decompress.ts";
import { digestMismatch } from "../../util/stream.ts";
import { TarReader } from "./tar-reader.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_PERMISSIONS,
  type Permissions,
  TreeWriter,
  type Unpacked,
  type UnpackLimits,
} from "./tree-writer.ts";

/** How to unpack an archive. */
export interface UnpackOptions {
  readonly compression: CompressionMethod | "none";
  readonly permissions?: Permissions | undefined;
  readonly limits?: UnpackLimits | undefined;
  /** The expected digest of the uncompressed archive. */
  readonly diffId?: Digest | undefined;
  /** The DAG hash of the spec: a prefix whose name ends with it becomes the folder itself. */
  readonly hash?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each consumed chunk of the stream, which is no longer needed. */
  readonly onTaken?: ((chunk: Buffer) => void) | undefined;
}

/** The compression of an archive, by media type. */
export function compressionOf(mediaType: string): UnpackOptions["compression"] {
  if (mediaType.endsWith("zstd")) return "zstd";
  return mediaType.endsWith("tar") ? "none" : "gzip";
}

/** Archives in memory are decompressed in one call if they have at most this many bytes, before and after. */
const SMALL = 256 * 1024;
const MOST_AT_ONCE = 2 * 1024 * 1024;

/**
 * Unpacks an archive, a stream or in memory, into `folder`, which must be empty and which nothing else may write to. A
 * stream is read to its end or destroyed. After a failure the folder holds part of the archive, and the caller removes
 * it. Throws ARCHIVE_UNSAFE, CONTENT_INVALID, TOO_LARGE, DIGEST_MISMATCH, FILE_SYSTEM, and the stream's error.
 */
export async function unpackArchive(
  source: Readable | Buffer,
  folder: string,
  options: UnpackOptions,
): Promise<Unpacked> {
  const {
    compression,
    permissions = DEFAULT_PERMISSIONS,
    limits = DEFAULT_LIMITS,
    diffId,
    hash,
    signal,
    onTaken,
  } = options;
  using writer = new TreeWriter(folder, { permissions, limits, hash });
  const reader = new TarReader(writer);
  const digester = diffId === undefined ? undefined : new Digester(algorithmOf(diffId));
  let taken = 0;
  let size = 0;
  const take = (bytes: Buffer): void => {
    signal?.throwIfAborted();
    size += bytes.length;
    checkSize(size, taken, limits);
    digester?.update(bytes);
    reader.push(bytes);
  };
  const stream = Buffer.isBuffer(source) ? undefined : source;
  const onAbort = (): void => void stream?.destroy(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  const whole = Buffer.isBuffer(source) ? wholeArchive(source, compression) : undefined;
  using decompressor =
    compression === "none" || whole !== undefined ? undefined : new Decompressor(compression, take, "the archive");
  try {
    signal?.throwIfAborted();
    for await (const chunk of (stream ?? [source]) as AsyncIterable<Buffer>) {
      taken += chunk.length;
      if (decompressor === undefined) take(whole ?? chunk);
      else await decompressor.write(chunk);
      onTaken?.(chunk);
    }
    await decompressor?.end();
    reader.end();
    const actual = digester?.digest();
    if (diffId !== undefined && actual !== undefined && actual !== diffId)
      throw digestMismatch("the uncompressed archive", diffId, actual);
    return writer.end();
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stream?.destroy();
  }
}

// A decompressor for streams makes its buffers anew for each archive, and takes trips to other threads.
function wholeArchive(bytes: Buffer, compression: UnpackOptions["compression"]): Buffer | undefined {
  if (compression !== "gzip" || bytes.length > SMALL) return undefined;
  return gunzipUpTo(bytes, MOST_AT_ONCE, "the archive");
}

const FREE_OF_RATIO = 256 * 1024 * 1024;

function checkSize(size: number, taken: number, limits: UnpackLimits): void {
  const most = Math.min(limits.bytes, Math.max(FREE_OF_RATIO, taken * limits.ratio));
  if (size > most)
    throw new StaveError("TOO_LARGE", `the archive has more than ${most} bytes when ${taken} of it are decompressed`, {
      hint: "it was not made by Spack or stave; do not use it",
    });
}
