// Opens the files of a tree for modification. Paths cannot leave the tree, and files change in place so that all their
// names and their mode stay. A dry run keeps changes in memory, where later reads see them.
import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  writeSync,
} from "node:fs";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { type ByteString, shownName } from "../../util/byte-string.ts";
import { type FsPath, HeldTree } from "../../util/held-tree.ts";

/** A folder whose files are relocated. Dispose of it when done. */
export class Tree implements Disposable {
  readonly held: HeldTree;
  readonly isDryRun: boolean;

  /** Throws as HeldTree does. */
  constructor(directory: string, isDryRun: boolean) {
    this.held = new HeldTree(directory);
    this.isDryRun = isDryRun;
  }

  [Symbol.dispose](): void {
    this.held[Symbol.dispose]();
  }

  /**
   * The path of an entry of the tree, valid for one call. Throws ARCHIVE_UNSAFE if the path is absolute, contains `..`
   * or leads through a link, and RELOCATION_FAILED if a parent folder is missing.
   */
  locate(relative: ByteString): FsPath {
    try {
      return this.held.at(relative);
    } catch (cause) {
      throw notFound(cause, relative);
    }
  }

  /**
   * Opens a file for modification while `work` runs. Throws as locate does, and RELOCATION_FAILED unless it is a
   * regular file.
   */
  async open<T>(relative: ByteString, work: (file: OpenFile) => T | Promise<T>): Promise<T> {
    const isForChange = !this.isDryRun;
    const stats = this.stats(relative);
    if (!stats.isFile()) throw unfit(relative, "is not a regular file");
    // A read-only file is made writable while it is open; writing clears setuid and setgid.
    const isReadOnly = isForChange && (stats.mode & 0o200) === 0;
    const losesBits = isForChange && (stats.mode & 0o6000) !== 0;
    const mode = stats.mode & 0o7777;
    let descriptor: number | undefined;
    try {
      if (isReadOnly) this.held.chmod(relative, mode | 0o200);
      descriptor = openSync(this.locate(relative), (isForChange ? constants.O_RDWR : constants.O_RDONLY) | AS_IT_IS);
      return await work(new OpenFile(descriptor, relative, !isForChange));
    } catch (cause) {
      throw whileRelocating(cause, relative);
    } finally {
      if (descriptor !== undefined) {
        if (isReadOnly || losesBits) fchmodSync(descriptor, mode);
        closeSync(descriptor);
      } else if (isReadOnly) this.held.chmod(relative, mode);
    }
  }

  /**
   * Opens what a folder lists as a regular file for reading while `work` runs; writes stay in memory as in a dry run.
   * Throws as open does.
   */
  async read<T>(relative: ByteString, work: (file: OpenFile) => T | Promise<T>): Promise<T> {
    const path = this.locate(relative);
    let descriptor: number | undefined;
    try {
      descriptor = openSync(path, constants.O_RDONLY | AS_IT_IS);
      const file = new OpenFile(descriptor, relative, true);
      if (!file.stats.isFile()) throw unfit(relative, "is not a regular file");
      return await work(file);
    } catch (cause) {
      throw systemCode(cause) === "ELOOP" ? unfit(relative, "is not a regular file") : notFound(cause, relative);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  /**
   * The status of an entry of the tree; links are not followed. Throws as locate does, and RELOCATION_FAILED if it is
   * missing.
   */
  stats(relative: ByteString): Stats {
    const path = this.locate(relative);
    try {
      return lstatSync(path);
    } catch (cause) {
      throw notFound(cause, relative);
    }
  }
}

const AS_IT_IS = constants.O_NOFOLLOW | constants.O_NONBLOCK;

function notFound(cause: unknown, path: ByteString): StaveError {
  return systemCode(cause) === "ENOENT" ? unfit(path, "is missing") : whileRelocating(cause, path);
}

/** One opened file. */
export class OpenFile {
  readonly #descriptor: number;
  readonly #isDryRun: boolean;
  // The writes that a dry run did not make.
  readonly #pretended: { position: number; bytes: Buffer }[] = [];
  /** Its path below the tree. */
  readonly path: ByteString;
  #size: number;
  /** Its status when it was opened. */
  readonly stats: BigIntStats;

  constructor(descriptor: number, path: ByteString, isDryRun: boolean) {
    this.#descriptor = descriptor;
    this.#isDryRun = isDryRun;
    this.path = path;
    this.stats = fstatSync(descriptor, { bigint: true });
    this.#size = Number(this.stats.size);
  }

  /** Device and inode of a file with several names; otherwise undefined. */
  get inode(): string | undefined {
    const { dev, ino, nlink } = this.stats;
    return nlink > 1n ? `${dev}:${ino}` : undefined;
  }

  /** The size in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Fills a buffer from a position and returns the number of bytes read. */
  read(buffer: Buffer, position: number): number {
    let filled = 0;
    while (filled < buffer.length) {
      const size = readSync(this.#descriptor, buffer, filled, buffer.length - filled, position + filled);
      if (size === 0) break;
      filled += size;
    }
    for (const { position: at, bytes } of this.#pretended) {
      const from = Math.max(0, position - at);
      if (from < bytes.length && at < position + filled)
        bytes.copy(buffer, Math.max(0, at - position), from, Math.min(bytes.length, position + filled - at));
    }
    return filled;
  }

  /** Overwrites bytes at a position. */
  write(bytes: Buffer, position: number): void {
    if (this.#isDryRun) {
      this.#pretended.push({ position, bytes });
      return;
    }
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  /** Sets the size; not for dry runs, which keep sizes. */
  truncate(size: number): void {
    ftruncateSync(this.#descriptor, size);
    this.#size = size;
  }
}

/** The error for an entry that differs from what was listed. */
export function unfit(path: ByteString, how: string): StaveError {
  const shown = shownName(path);
  return new StaveError("RELOCATION_FAILED", `cannot relocate ${shown}: it ${how}`, { subject: shown });
}

/** The error for a failed file system call in the tree. */
export function whileRelocating(cause: unknown, path: ByteString): StaveError {
  const error = fileError(cause, "relocate", shownName(path));
  return systemCode(cause) === "ETXTBSY" ? error.with({ hint: "it is running; stop it and try again" }) : error;
}
