// A layer: the compressed archive of a prefix, as a stream that is produced while it is read. There are no temporary
// files; to read the bytes again, pack again. The folders above the prefix, the entries, and the end of the archive are
// in gzip members or zstd frames of their own, so that layers can be joined without recompression.
import { pipeline, Readable, Transform } from "node:stream";
import { StaveError } from "../../errors.ts";
import { type Digest, Digester, digestFromHex } from "../../oci/digest.ts";
import { joinAndRelease } from "../../util/free-chunks.ts";
import type { Source } from "../../util/stream.ts";
import type { ArchiveJob, ArchiveSummary } from "../archive/archive.ts";
import { changed, type SkippedEntry } from "../archive/prefix-walk.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import type { PackPool, PackReceiver, PackTask } from "./pack-pool.ts";
import { isSmall, isSmallPrefix, packSmallPrefix } from "./small-prefix.ts";

/** A packed layer. */
export interface PackedLayer {
  /** The digest and size in bytes of the layer as stored. */
  readonly digest: Digest;
  readonly size: number;
  /** The digest and size of the uncompressed archive. */
  readonly diffId: Digest;
  readonly archiveSize: number;
  /** The number of regular files, without the build info. */
  readonly files: number;
  /** Sockets and the like, which were left out. */
  readonly skipped: readonly SkippedEntry[];
  /** Programs and libraries whose debug sections could not be removed; none unless that was asked. */
  readonly unstripped: readonly string[];
}

/** How to read a layer. */
export interface LayerStreamOptions {
  /** Called with the progress in archive bytes, in whole pieces: the first and the last one may be smaller. */
  readonly onPacked?: ((bytes: number) => void) | undefined;
  /**
   * Chunks are memory of the pool: the reader returns each one it no longer needs (`recycle`), and at the end all
   * others (`recycleAll`). By default chunks are copies that belong to the reader.
   */
  readonly lends?: boolean | undefined;
  /** The result of surveying the prefix, if that was done already. */
  readonly survey?: { readonly files: number; readonly bytes: number } | undefined;
  /** Read even a small prefix on a thread, because its file system is slow. */
  readonly isSlow?: boolean | undefined;
  /** Keep the uncompressed archive in memory: for small prefixes. */
  readonly keepsArchive?: boolean | undefined;
}

/**
 * The bytes of a layer; `layer` describes it once the stream has ended. Fails with SPEC_NOT_INSTALLED, FILE_SYSTEM or
 * CONFLICT (see archivePieces). Destroying it stops the packing.
 */
export class LayerStream extends Readable {
  readonly #compression: Compression;
  readonly #onPacked: (bytes: number) => void;
  readonly #digester = new Digester();
  readonly #ready = new Map<number, Uint8Array>();
  readonly #pool: PackPool;
  readonly #lends: boolean;
  // The chunks of pool memory that the reader still holds.
  readonly #lent = new Map<ArrayBufferLike, Uint8Array>();
  readonly #task: PackTask | undefined;
  #next = 0;
  #wanted = false;
  #end: { pieces: number; summary: ArchiveSummary } | undefined;
  #layer: PackedLayer | undefined;
  readonly #archive: Buffer[] = [];

  constructor(pool: PackPool, job: ArchiveJob, compression: Compression, options: LayerStreamOptions = {}) {
    const { onPacked = () => {}, lends = false, survey, isSlow = false, keepsArchive = false } = options;
    // Each piece is read separately.
    super({ highWaterMark: 1 });
    this.#pool = pool;
    this.#lends = lends;
    this.#compression = compression;
    this.#onPacked = onPacked;
    const receiver: PackReceiver = {
      ...(keepsArchive && { archived: (bytes: Uint8Array) => void this.#archive.push(Buffer.from(bytes)) }),
      piece: (sequence, bytes) => {
        this.#ready.set(sequence, bytes);
        this.#advance();
      },
      end: (pieces, summary) => {
        this.#end = { pieces, summary };
        this.#advance();
      },
      fail: (error) => this.destroy(error),
    };
    if (!isSlow && isForThisThread(job, survey)) packSmallPrefix(job, compression, receiver);
    else this.#task = pool.pack(job, compression, receiver);
  }

  /** The description of the layer. Throws INTERNAL before the stream has ended. */
  get layer(): PackedLayer {
    if (this.#layer === undefined) throw new StaveError("INTERNAL", "the layer has not been read to its end");
    return this.#layer;
  }

  /**
   * The uncompressed archive, in memory that then belongs to the caller. Empty without `keepsArchive`, and on a second
   * call.
   */
  takeArchive(): Buffer {
    return joinAndRelease(this.#archive.splice(0));
  }

  /** Takes back a lent chunk, which must not be read any more. */
  recycle(chunk: Uint8Array): void {
    const lent = this.#lent.get(chunk.buffer);
    // A part of a chunk: the rest may still be in use.
    if (lent === undefined || lent.byteLength !== chunk.byteLength) return;
    this.#lent.delete(chunk.buffer);
    this.#pool.recycle(lent);
  }

  /** Takes back all lent chunks, once nothing reads them any more. */
  recycleAll(): void {
    for (const lent of this.#lent.values()) this.#pool.recycle(lent);
    this.#lent.clear();
  }

  override _read(): void {
    // Deferred, because a chunk pushed during a read is joined with buffered ones, which copies it.
    process.nextTick(() => {
      this.#wanted = !this.destroyed;
      this.#advance();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#task?.cancel();
    for (const bytes of this.#ready.values()) this.#pool.recycle(bytes);
    this.#ready.clear();
    done(error);
  }

  #advance(): void {
    while (this.#wanted) {
      const bytes = this.#ready.get(this.#next);
      if (bytes === undefined) break;
      // The first piece holds the folders above the prefix only.
      if (this.#next > 0) this.#onPacked(pieceSizeOf(this.#compression));
      this.#ready.delete(this.#next++);
      this.#task?.consumed();
      if (this.#lends) {
        this.#lent.set(bytes.buffer, bytes);
        this.#send(bytes);
      } else {
        this.#send(Buffer.from(bytes));
        this.#pool.recycle(bytes);
      }
    }
    if (this.#wanted && this.#next === this.#end?.pieces) this.#finish(this.#end.summary);
  }

  #send(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#digester.update(bytes);
    this.#wanted = this.push(bytes);
  }

  #finish(summary: ArchiveSummary): void {
    this.#end = undefined;
    // A copy: what is kept is freed by its taker, and the summary's bytes may be in use elsewhere.
    if (this.#archive.length > 0) this.#archive.push(Buffer.from(summary.end));
    this.#send(Buffer.concat(compressPiece(this.#compression, summary.end)));
    this.#layer = {
      digest: this.#digester.digest(),
      size: this.#digester.size,
      diffId: digestFromHex(summary.sha256),
      archiveSize: summary.size + summary.end.length,
      files: summary.files,
      skipped: summary.skipped,
      unstripped: summary.unstripped,
    };
    this.push(null);
  }
}

// Stripping waits for a program, which would hold up everything else here.
function isForThisThread(job: ArchiveJob, survey: LayerStreamOptions["survey"]): boolean {
  return job.strip === undefined && (survey ? isSmall(survey) : isSmallPrefix(job));
}

/** Packs a prefix into a layer stream. */
export function packLayer(
  pool: PackPool,
  job: ArchiveJob,
  compression: Compression,
  options?: LayerStreamOptions,
): LayerStream {
  return new LayerStream(pool, job, compression, options);
}

/**
 * The source of a layer that was packed before: each opening packs it again and verifies that the layer is the same.
 */
export function layerSource(
  pool: PackPool,
  job: ArchiveJob,
  compression: Compression,
  layer: Pick<PackedLayer, "digest" | "size">,
  options?: Pick<LayerStreamOptions, "isSlow">,
): Source {
  return {
    size: layer.size,
    isVerified: true,
    open(offset = 0) {
      const stream = packLayer(pool, job, compression, options);
      let left = offset;
      const checked = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          const from = Math.min(left, chunk.length);
          left -= from;
          done(null, chunk.subarray(from));
        },
        flush(done) {
          const same = stream.layer.digest === layer.digest;
          done(same ? null : changed(job.prefix, "its layer differs from the one packed before"));
        },
      });
      // An error or the end of either stream ends both.
      pipeline(stream, checked, () => {});
      return checked;
    },
  };
}

/** The properties of a prefix's archive that need no compression. */
export type DescribedLayer = Pick<PackedLayer, "diffId" | "archiveSize" | "files" | "skipped">;

/** Computes only the digest and size of a prefix's archive. Throws as packing does, or the signal's reason. */
export async function describeLayer(pool: PackPool, job: ArchiveJob, signal?: AbortSignal): Promise<DescribedLayer> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<DescribedLayer>();
  const receiver: PackReceiver = {
    piece: () => {},
    end: (_pieces, { sha256, size, end, files, skipped }) =>
      resolve({ diffId: digestFromHex(sha256), archiveSize: size + end.length, files, skipped }),
    fail: reject,
  };
  if (isForThisThread(job, undefined)) {
    packSmallPrefix(job, undefined, receiver);
    return promise;
  }
  const task = pool.pack(job, undefined, receiver);
  const abort = (): void => {
    task.cancel();
    reject(signal?.reason);
  };
  signal?.addEventListener("abort", abort, { once: true });
  return promise.finally(() => signal?.removeEventListener("abort", abort));
}
