// A layer: the archive of a prefix, compressed, as a stream that is made while it is read. There is no temporary file;
// whoever needs the bytes again has them made again.
import { pipeline, Readable, Transform } from "node:stream";
import { StaveError } from "../../errors.ts";
import { type Digest, Digester, digestFromHex } from "../../oci/digest.ts";
import type { Source } from "../../util/stream.ts";
import type { ArchiveJob, ArchiveSummary } from "../archive/archive.ts";
import { changed, type SkippedEntry } from "../archive/prefix-walk.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import type { PackPool, PackReceiver, PackTask } from "./pack-pool.ts";
import { isSmallPrefix, packSmallPrefix } from "./small-prefix.ts";

/** What a layer turned out to be. */
export interface PackedLayer {
  /** The digest and the size in bytes of the layer as it is stored. */
  readonly digest: Digest;
  readonly size: number;
  /** The digest and the size of the archive in it. */
  readonly diffId: Digest;
  readonly archiveSize: number;
  /**
   * The part that holds the entries, gzip members or zstd frames of its own: its size in the layer and in the archive.
   * What follows only ends the archive, so that layers can be joined without being compressed anew.
   */
  readonly entries: { readonly size: number; readonly archiveSize: number };
  /** How many regular files it holds, the build info not counted. */
  readonly files: number;
  /** Sockets and the like, which were left out. */
  readonly skipped: readonly SkippedEntry[];
}

/** How a layer is read. */
export interface LayerStreamOptions {
  /** Hears how much of the archive has passed, in whole pieces: the last one may be smaller. */
  readonly onPacked?: ((bytes: number) => void) | undefined;
  /**
   * Chunks are memory of the pool: the reader gives back each that it needs no more (`recycle`), and at the end whatever
   * is left (`recycleAll`). Otherwise they are copies, which belong to the reader.
   */
  readonly lends?: boolean | undefined;
}

/**
 * The bytes of a layer. What they were is known when the stream has ended. Fails with SPEC_NOT_INSTALLED, FILE_SYSTEM or
 * CONFLICT (see archivePieces). Destroying it stops the packing.
 */
export class LayerStream extends Readable {
  readonly #compression: Compression;
  readonly #onPacked: (bytes: number) => void;
  readonly #digester = new Digester();
  readonly #ready = new Map<number, Uint8Array>();
  readonly #pool: PackPool;
  readonly #lends: boolean;
  // What is being read of the pool's memory.
  readonly #lent = new Map<ArrayBufferLike, Uint8Array>();
  readonly #task: PackTask | undefined;
  #next = 0;
  #wanted = false;
  #end: { pieces: number; summary: ArchiveSummary } | undefined;
  #layer: PackedLayer | undefined;

  constructor(pool: PackPool, job: ArchiveJob, compression: Compression, options: LayerStreamOptions = {}) {
    const { onPacked = () => {}, lends = false } = options;
    // Each piece is read by itself.
    super({ highWaterMark: 1 });
    this.#pool = pool;
    this.#lends = lends;
    this.#compression = compression;
    this.#onPacked = onPacked;
    const receiver: PackReceiver = {
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
    if (isSmallPrefix(job)) packSmallPrefix(job, compression, receiver);
    else this.#task = pool.pack(job, compression, receiver);
  }

  /** What the layer turned out to be. Throws INTERNAL before the stream has ended. */
  get layer(): PackedLayer {
    if (this.#layer === undefined) throw new StaveError("INTERNAL", "the layer has not been read to its end");
    return this.#layer;
  }

  /** Takes back a chunk that was lent, which must not be read any more. */
  recycle(chunk: Uint8Array): void {
    const lent = this.#lent.get(chunk.buffer);
    // A part of it may still be wanted.
    if (lent === undefined || lent.byteLength !== chunk.byteLength) return;
    this.#lent.delete(chunk.buffer);
    this.#pool.recycle(lent);
  }

  /** Takes back all chunks that are still lent; for when nobody reads any more. */
  recycleAll(): void {
    for (const lent of this.#lent.values()) this.#pool.recycle(lent);
    this.#lent.clear();
  }

  override _read(): void {
    // Not at once: what is pushed while it is asked for is joined with what is there already, in a copy.
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
      this.#ready.delete(this.#next++);
      this.#task?.consumed();
      this.#onPacked(pieceSizeOf(this.#compression));
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
    const entriesSize = this.#digester.size;
    this.#send(Buffer.concat(compressPiece(this.#compression, summary.end)));
    this.#layer = {
      digest: this.#digester.digest(),
      size: this.#digester.size,
      diffId: digestFromHex(summary.sha256),
      archiveSize: summary.size + summary.end.length,
      entries: { size: entriesSize, archiveSize: summary.size },
      files: summary.files,
      skipped: summary.skipped,
    };
    this.push(null);
  }
}

/** Packs a prefix into a layer; the stream tells what it was when it has ended. */
export function packLayer(
  pool: PackPool,
  job: ArchiveJob,
  compression: Compression,
  options?: LayerStreamOptions,
): LayerStream {
  return new LayerStream(pool, job, compression, options);
}

/** A layer that has been packed before, to be sent again: each opening packs anew, and checks that it is the same layer. */
export function layerSource(
  pool: PackPool,
  job: ArchiveJob,
  compression: Compression,
  layer: Pick<PackedLayer, "digest" | "size">,
): Source {
  return {
    size: layer.size,
    open(offset = 0) {
      const stream = packLayer(pool, job, compression);
      let left = offset;
      const checked = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          const from = Math.min(left, chunk.length);
          left -= from;
          done(null, chunk.subarray(from));
        },
        flush(done) {
          const same = stream.layer.digest === layer.digest;
          done(same ? null : changed(job.prefix, "it is not the layer that was packed from it before"));
        },
      });
      // An error or the end of either ends both.
      pipeline(stream, checked, () => {});
      return checked;
    },
  };
}

/** What the archive of a prefix is, without compressing it. */
export type DescribedLayer = Pick<PackedLayer, "diffId" | "archiveSize" | "files" | "skipped">;

/** Reads a prefix for the digest and size of its archive only. Throws as packing does, or the signal's reason. */
export async function describeLayer(pool: PackPool, job: ArchiveJob, signal?: AbortSignal): Promise<DescribedLayer> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<DescribedLayer>();
  const receiver: PackReceiver = {
    piece: () => {},
    end: (_pieces, { sha256, size, end, files, skipped }) =>
      resolve({ diffId: digestFromHex(sha256), archiveSize: size + end.length, files, skipped }),
    fail: reject,
  };
  if (isSmallPrefix(job)) {
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
