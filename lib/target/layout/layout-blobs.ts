// The blobs of an image layout directory: one file each under `blobs/ALGORITHM/HEX`, written elsewhere and renamed into
// place, so that a blob under its name is complete.
import { closeSync, constants, createReadStream, fstatSync, lstatSync, openSync, type Stats } from "node:fs";
import { type FileHandle, link, rename, rm, rmdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { algorithmOf, type Digest, type DigestAlgorithm, Digester, hexOf } from "../../oci/digest.ts";
import { makeFolder } from "../../util/folder.ts";
import { PieceWriter } from "../../util/piece-writer.ts";
import { readFirst } from "../../util/read-file.ts";
import { createTemporary } from "../../util/temporary-file.ts";
import type { Clock } from "../../util/time.ts";
import { enterLayout, leaveLayout, refuseLinks, TEMPORARY_FOLDER } from "./layout-presence.ts";

/** The size of reads, in bytes. */
const PIECE = 256 * 1024;
/** Blobs of at most this many bytes are read synchronously: a wait for the thread pool costs more than the read. */
export const SMALL_BLOB: number = PIECE;

/** The blob files of one layout directory. */
export class LayoutBlobs {
  readonly #directory: string;
  readonly #clock: Clock;
  /** Settles when temporary files may be created. */
  #presence: Promise<void> | undefined;
  #made = new Set<string>();

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** The path of a blob, whether it exists or not. */
  path(digest: Digest): string {
    return join(this.#directory, "blobs", algorithmOf(digest), hexOf(digest));
  }

  /** The size of a blob in bytes, undefined if it does not exist. A link or folder in its place does not count. */
  size(digest: Digest): number | undefined {
    const stats = this.#look(digest);
    return stats?.isFile() ? stats.size : undefined;
  }

  /**
   * When a blob was created, linked or last marked as in use, in milliseconds since the epoch; undefined if it does not
   * exist.
   */
  changed(digest: Digest): number | undefined {
    return this.#look(digest)?.ctimeMs;
  }

  #look(digest: Digest): Stats | undefined {
    const path = this.path(digest);
    try {
      return lstatSync(path, { throwIfNoEntry: false });
    } catch (cause) {
      if (systemCode(cause) === "ENOTDIR") return undefined;
      throw fileError(cause, "look at", path);
    }
  }

  /** Marks a blob as about to be used, so that it is not removed as garbage. */
  async touch(digest: Digest): Promise<void> {
    const now = this.#clock.now() / 1000;
    // A reader without write access does no harm.
    await utimes(this.path(digest), now, now).catch(() => {});
  }

  /**
   * Opens the bytes from `start` up to, not including, `end`. Not verified. Throws NOT_FOUND, CONTENT_INVALID,
   * FILE_SYSTEM.
   */
  open(digest: Digest, start = 0, end?: number): Readable {
    const path = this.path(digest);
    const { file: fd } = this.#open(digest);
    try {
      return createReadStream(path, {
        fd,
        start,
        ...(end === undefined ? {} : { end: end - 1 }),
        highWaterMark: PIECE,
      });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * The bytes of a blob of at most `limit` bytes, read synchronously. Not verified. Throws as `open`, and TOO_LARGE
   * with a message that names `subject`.
   */
  readNow(digest: Digest, limit: number, subject = `blob ${digest}`): Buffer {
    const path = this.path(digest);
    const { file, size } = this.#open(digest);
    try {
      if (size > limit)
        throw new StaveError("TOO_LARGE", `${subject} is larger than the limit of ${limit} bytes`, { subject });
      return readFirst(file, size);
    } catch (cause) {
      throw fileError(cause, "read", path);
    } finally {
      closeSync(file);
    }
  }

  #open(digest: Digest): { readonly file: number; readonly size: number } {
    const path = this.path(digest);
    let file: number | undefined;
    try {
      // A FIFO would otherwise block the process until somebody writes to it.
      file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stats = fstatSync(file);
      if (stats.isFile()) return { file, size: stats.size };
      throw new StaveError("CONTENT_INVALID", `${path} is not a plain file`, { subject: path });
    } catch (cause) {
      if (file !== undefined) closeSync(file);
      const code = systemCode(cause);
      if (code === "ELOOP") throw new StaveError("CONTENT_INVALID", `${path} is a link, not a blob`, { subject: path });
      if (code === "ENOENT" || code === "ENOTDIR")
        throw new StaveError("NOT_FOUND", `${this.#directory} has no blob ${digest}`, { subject: digest, cause });
      throw fileError(cause, "read", path);
    }
  }

  /**
   * Creates a new blob; without an algorithm it is not hashed, because the caller does that. `recycle` is called with
   * each chunk that has been written.
   */
  async create(
    algorithm: DigestAlgorithm | undefined,
    recycle: (chunk: Uint8Array) => void = () => {},
  ): Promise<BlobWriter> {
    await this.enter();
    const { handle, path } = await createTemporary(join(this.#directory, TEMPORARY_FOLDER), this.#clock);
    return new BlobWriter(this, path, handle, algorithm, recycle);
  }

  /** Moves a finished file to its final name. */
  async adopt(path: string, digest: Digest): Promise<void> {
    const target = this.path(digest);
    try {
      await this.#makeFolder(digest);
      await rename(path, target);
    } catch (cause) {
      throw fileError(cause, "write", target);
    }
  }

  /** Takes over a blob from another layout by a hard link; false if that is impossible. */
  async linkFrom(other: LayoutBlobs, digest: Digest): Promise<boolean> {
    refuseLinks(this.#directory);
    try {
      await this.#makeFolder(digest);
      await link(other.path(digest), this.path(digest));
      return true;
    } catch (cause) {
      return systemCode(cause) === "EEXIST";
    }
  }

  /** Removes a blob; false if it did not exist. */
  async remove(digest: Digest): Promise<boolean> {
    const path = this.path(digest);
    refuseLinks(this.#directory);
    try {
      await rm(path);
      return true;
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return false;
      throw fileError(cause, "remove", path);
    }
  }

  async #makeFolder(digest: Digest): Promise<void> {
    const algorithm = algorithmOf(digest);
    if (this.#made.has(algorithm)) return;
    makeFolder(join(this.#directory, "blobs", algorithm));
    this.#made.add(algorithm);
  }

  /** Announces that this process may create temporary files here; removes those of killed processes first. */
  async enter(): Promise<void> {
    this.#presence ??= enterLayout(this.#directory, this.#clock).catch((error: unknown) => {
      this.#presence = undefined;
      throw error;
    });
    await this.#presence;
  }

  /** Ends the use of temporary files, and removes their folder if it is empty. */
  async leave(): Promise<void> {
    const isPresent = this.#presence !== undefined;
    this.#presence = undefined;
    if (isPresent) await leaveLayout(this.#directory);
    await rmdir(join(this.#directory, TEMPORARY_FOLDER)).catch(() => {});
  }
}

/** A blob being written: hashed on the way, invisible under its final name until `commit`. */
export class BlobWriter {
  readonly path: string;
  readonly #blobs: LayoutBlobs;
  readonly #handle: FileHandle;
  readonly #algorithm: DigestAlgorithm | undefined;
  readonly #pieces: PieceWriter;
  #digester: Digester | undefined;
  #size = 0;
  #isOpen = true;

  constructor(
    blobs: LayoutBlobs,
    path: string,
    handle: FileHandle,
    algorithm: DigestAlgorithm | undefined,
    recycle: (chunk: Uint8Array) => void,
  ) {
    this.#blobs = blobs;
    this.path = path;
    this.#handle = handle;
    this.#algorithm = algorithm;
    this.#pieces = new PieceWriter(handle, { recycle });
    this.#digester = algorithm && new Digester(algorithm);
  }

  /** The number of bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes. Waits only if the disk is slower than the sender. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#digester?.update(chunk);
    this.#size += chunk.byteLength;
    try {
      await this.#pieces.write(chunk);
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
  }

  /** Drops the bytes beyond `size`, for example those of a broken chunk. Reads the file again for the digest. */
  async truncate(size: number): Promise<void> {
    try {
      await this.#pieces.flush();
      await this.#handle.truncate(size);
      this.#size = size;
      this.#digester = this.#algorithm && (await this.#rehash(this.#algorithm));
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
  }

  /** The digest of everything so far; the writer stays usable. */
  async digest(algorithm: DigestAlgorithm = this.#algorithm ?? "sha256"): Promise<Digest> {
    try {
      await this.#pieces.flush();
      const digester = algorithm === this.#algorithm ? this.#digester : undefined;
      return (digester ?? (await this.#rehash(algorithm))).peek();
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
  }

  async #rehash(algorithm: DigestAlgorithm): Promise<Digester> {
    const digester = new Digester(algorithm);
    const buffer = Buffer.allocUnsafe(PIECE);
    while (digester.size < this.#size) {
      const { bytesRead } = await this.#handle.read(
        buffer,
        0,
        Math.min(PIECE, this.#size - digester.size),
        digester.size,
      );
      if (bytesRead === 0) break;
      digester.update(buffer.subarray(0, bytesRead));
    }
    return digester;
  }

  /** Closes the file and renames it to its digest, which the caller has verified. */
  async commit(digest: Digest): Promise<void> {
    try {
      await this.#pieces.flush();
      await this.#close();
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
    await this.#blobs.adopt(this.path, digest);
  }

  /** Discards the file. */
  async abort(): Promise<void> {
    await this.#pieces.abandon();
    await this.#close().catch(() => {});
    await rm(this.path, { force: true }).catch(() => {});
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
  }
}
