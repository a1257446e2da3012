// The files of a tree, opened for change: named by paths below it that lead nowhere else, changed in place so that all
// names of a file and its mode stay. In a dry run changes are kept in memory, where later reads see them.
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  writeSync,
} from "node:fs";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { type ByteString, bytesOfText, fsPath, isPlainPath, shownName } from "../util/byte-string.ts";

/** The folder that is relocated. */
export class Tree {
  readonly directory: string;
  readonly #root: ByteString;
  readonly isDryRun: boolean;
  // Folders below the root that are known to be folders and no links.
  readonly #folders = new Set<ByteString>();

  constructor(directory: string, isDryRun: boolean) {
    this.directory = directory.replace(/(?<=.)\/+$/, "");
    this.#root = bytesOfText(this.directory);
    this.isDryRun = isDryRun;
  }

  /**
   * The path on disk of something in the tree. Throws ARCHIVE_UNSAFE when the path below the tree is absolute, has `..` in
   * it or leads through a link, and RELOCATION_FAILED when a folder on the way is missing.
   */
  locate(relative: ByteString): ByteString {
    if (!isPlainPath(relative)) throw unsafe(relative, "is no plain path below it");
    const slash = relative.lastIndexOf("/");
    if (slash > 0) this.#enter(relative.slice(0, slash), relative);
    return `${this.#root}/${relative}`;
  }

  #enter(folder: ByteString, asked: ByteString): void {
    if (this.#folders.has(folder)) return;
    const slash = folder.lastIndexOf("/");
    if (slash > 0) this.#enter(folder.slice(0, slash), asked);
    if (!this.#stats(folder, asked).isDirectory()) throw unsafe(asked, "leads through something that is no folder");
    this.#folders.add(folder);
  }

  /** Opens a file while `work` runs, for change. Throws as locate does, and RELOCATION_FAILED for what is no regular file. */
  open<T>(relative: ByteString, work: (file: OpenFile) => T | Promise<T>): Promise<T> {
    return this.#open(relative, !this.isDryRun, work);
  }

  /** Opens a file while `work` runs, only to read it; what is written is as in a dry run. Throws as open does. */
  read<T>(relative: ByteString, work: (file: OpenFile) => T | Promise<T>): Promise<T> {
    return this.#open(relative, false, work);
  }

  async #open<T>(relative: ByteString, isForChange: boolean, work: (file: OpenFile) => T | Promise<T>): Promise<T> {
    const path = this.locate(relative);
    const stats = this.#stats(relative, relative);
    if (!stats.isFile()) throw unfit(relative, "is not a regular file");
    // A file that its owner may not write is made writable for a moment; writing takes setuid and setgid away.
    const isReadOnly = isForChange && (stats.mode & 0o200) === 0;
    const losesBits = isForChange && (stats.mode & 0o6000) !== 0;
    let descriptor: number | undefined;
    try {
      if (isReadOnly) chmodSync(fsPath(path), (stats.mode & 0o7777) | 0o200);
      const access = isForChange ? constants.O_RDWR : constants.O_RDONLY;
      descriptor = openSync(fsPath(path), access | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      return await work(new OpenFile(descriptor, relative, !isForChange));
    } catch (cause) {
      throw whileRelocating(cause, relative);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
      if (isReadOnly || losesBits) chmodSync(fsPath(path), stats.mode & 0o7777);
    }
  }

  /** What a path below the tree is, links not followed. Throws as locate does, and RELOCATION_FAILED when it is missing. */
  stats(relative: ByteString): Stats {
    this.locate(relative);
    return this.#stats(relative, relative);
  }

  #stats(path: ByteString, asked: ByteString): Stats {
    try {
      return lstatSync(fsPath(`${this.#root}/${path}`));
    } catch (cause) {
      const code = systemCode(cause);
      if (code === "ENOENT" || code === "ENOTDIR") throw unfit(asked, "is missing");
      throw whileRelocating(cause, asked);
    }
  }
}

/** One opened file. */
export class OpenFile {
  readonly #descriptor: number;
  readonly #isDryRun: boolean;
  // What a dry run would have written.
  readonly #pretended: { position: number; bytes: Buffer }[] = [];
  /** Below the tree. */
  readonly path: ByteString;
  #size: number;
  /** Device and inode of a file that has other names; undefined when it has one. */
  readonly inode: string | undefined;

  constructor(descriptor: number, path: ByteString, isDryRun: boolean) {
    this.#descriptor = descriptor;
    this.#isDryRun = isDryRun;
    this.path = path;
    const { size, dev, ino, nlink } = fstatSync(descriptor, { bigint: true });
    this.#size = Number(size);
    this.inode = nlink > 1n ? `${dev}:${ino}` : undefined;
  }

  /** Bytes. */
  get size(): number {
    return this.#size;
  }

  /** Fills a buffer from a position on, and returns how much there was. */
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

  /** Writes over what is there. */
  write(bytes: Buffer, position: number): void {
    if (this.#isDryRun) {
      this.#pretended.push({ position, bytes });
      return;
    }
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  /** Sets the size; not for dry runs, in which sizes stay. */
  truncate(size: number): void {
    ftruncateSync(this.#descriptor, size);
    this.#size = size;
  }
}

function unsafe(path: ByteString, how: string): StaveError {
  const shown = shownName(path);
  return new StaveError("ARCHIVE_UNSAFE", `the tree lists ${JSON.stringify(shown)} for relocation, which ${how}`, {
    subject: shown,
  });
}

/** The error of something that is not what was listed. */
export function unfit(path: ByteString, how: string): StaveError {
  const shown = shownName(path);
  return new StaveError("RELOCATION_FAILED", `cannot relocate ${shown}: it ${how}`, { subject: shown });
}

/** The error of a file system call on something in the tree. */
export function whileRelocating(cause: unknown, path: ByteString): StaveError {
  const error = fileError(cause, "relocate", shownName(path));
  return systemCode(cause) === "ETXTBSY" ? error.with({ hint: "it is running; stop it and try again" }) : error;
}
