// Unpacks the archive of a spec: decompressed, checked against its digest and its limits, and written as it arrives.
import type { Readable, Transform } from "node:stream";
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
  /** Told of each chunk of the stream that was taken, and is needed no more. */
  readonly onTaken?: ((chunk: Buffer) => void) | undefined;
}

/** How an archive of a media type is compressed. */
export function compressionOf(mediaType: string): UnpackOptions["compression"] {
  return mediaType.endsWith("zstd") ? "zstd" : mediaType.endsWith("tar") ? "none" : "gzip";
}

/**
 * Unpacks into `folder`, which must be empty and which nobody else writes to; the stream is read to its end or destroyed.
 * After a failure the folder holds a part of the archive, and is for the caller to remove. Throws ARCHIVE_UNSAFE,
 * CONTENT_INVALID, TOO_LARGE, DIGEST_MISMATCH, FILE_SYSTEM, and what the stream fails with.
 */
export async function unpackArchive(stream: Readable, folder: string, options: UnpackOptions): Promise<Unpacked> {
  const { compression, permissions = DEFAULT_PERMISSIONS, limits = DEFAULT_LIMITS, diffId, signal, onTaken } = options;
  const writer = new TreeWriter(folder, permissions, limits);
  const reader = new TarReader(writer);
  const digester = diffId === undefined ? undefined : new Digester(algorithmOf(diffId));
  let taken = 0;
  let size = 0;
  const take = (bytes: Buffer): void => {
    size += bytes.length;
    checkSize(size, taken, limits);
    digester?.update(bytes);
    reader.push(bytes);
  };
  const onAbort = (): void => void stream.destroy(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  using decoder = new Decoder(compression, take);
  try {
    signal?.throwIfAborted();
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      taken += chunk.length;
      await decoder.write(chunk);
      onTaken?.(chunk);
    }
    await decoder.end();
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

// Decompresses what is written to it, and hands each piece to somebody who is done with it on return.
class Decoder implements Disposable {
  readonly #compression: UnpackOptions["compression"];
  readonly #stream: Transform | undefined;
  readonly #take: (bytes: Buffer) => void;
  #failure: { readonly error: unknown } | undefined;
  #wake = (): void => {};

  constructor(compression: UnpackOptions["compression"], take: (bytes: Buffer) => void) {
    this.#compression = compression;
    this.#take = take;
    if (compression === "none") return;
    this.#stream = compression === "gzip" ? createGunzip(GUNZIP) : createZstdReader();
    this.#stream.on("data", (bytes: Buffer) => this.#piece(bytes));
    this.#stream.on("error", (cause) => this.#fail(this.#broken(cause)));
  }

  /** Done when all that a chunk gives was taken. Throws what taking it does, and CONTENT_INVALID. */
  async write(chunk: Buffer): Promise<void> {
    if (this.#stream === undefined) this.#take(chunk);
    else await this.#wait((done) => this.#stream?.write(chunk, done));
  }

  /** Throws also when something is missing. */
  async end(): Promise<void> {
    if (this.#stream !== undefined) await this.#wait((done) => this.#stream?.once("end", done).end());
  }

  [Symbol.dispose](): void {
    this.#stream?.destroy();
  }

  async #wait(begin: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      begin(resolve);
    });
    if (this.#failure) throw this.#failure.error;
  }

  #piece(bytes: Buffer): void {
    if (this.#failure) return;
    try {
      this.#take(bytes);
      free(bytes);
    } catch (error) {
      this.#fail(error);
      this.#stream?.destroy();
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  #broken(cause: Error): StaveError {
    if (cause instanceof StaveError) return cause;
    return new StaveError(
      "CONTENT_INVALID",
      `the archive is no whole ${this.#compression} stream: ${messageOf(cause)}`,
      {
        cause,
        hint: "push the spec again",
      },
    );
  }
}

// What the decompressor may still write to is left alone.
function free({ buffer, byteOffset, length }: Buffer): void {
  const isEnd = byteOffset + length === buffer.byteLength && buffer.byteLength > Buffer.poolSize;
  if (isEnd && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

// What is packed in members of 1 MiB comes out in one piece each.
const GUNZIP = { chunkSize: 1 << 20 };
