// A folder whose content is not trusted, held open: everything below it is reached from its own descriptor, folder by folder, and
// no link is followed on the way. This is the only way to read or write inside a prefix that came from somewhere else.
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  type Dirent,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { type ByteString, bytesOfText, fsPath, isPlainPath, shownName } from "./byte-string.ts";
import { readDescriptor } from "./read-file.ts";

/** A path for `node:fs`. */
export type FsPath = string | Buffer;

// <fcntl.h> of Linux. A folder opened with it needs no right to be read.
const O_PATH = process.platform === "linux" ? 0o10000000 : constants.O_RDONLY;
const FOLDER = O_PATH | constants.O_DIRECTORY;
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** How many folders below one tree are held open at once. */
const MOST_HELD = 16;

interface Held {
  readonly path: ByteString;
  readonly descriptor: number;
  /** What the system knows the folder by, wherever it is moved: its descriptor. */
  readonly place: ByteString;
}

/**
 * A folder and what is below it, named by relative paths. Paths handed out are for one synchronous call of `node:fs` at once: they
 * name a descriptor that may be closed, and used again, by the next call on the tree. Dispose of it to close everything.
 */
export class HeldTree implements Disposable {
  readonly directory: string;
  readonly #root: Held;
  // Those used last come last.
  readonly #folders = new Map<ByteString, Held>();
  #last: Held;

  /** Opens a folder; links that lead to it are followed. Throws FILE_SYSTEM and NOT_FOUND. */
  constructor(directory: string) {
    this.directory = directory.replace(/(?<=.)\/+$/, "");
    const path = bytesOfText(this.directory);
    try {
      this.#root = hold("", openSync(fsPath(path), FOLDER), path);
    } catch (cause) {
      throw fileError(cause, "open", shownName(path));
    }
    this.#last = this.#root;
  }

  /** Whether other processes cannot make a path lead elsewhere by exchanging a folder meanwhile: where there is /proc. */
  get isPinned(): boolean {
    return this.#root.place.startsWith(DESCRIPTORS);
  }

  /**
   * The path of something, for a call that does not follow a link at its end. Throws ARCHIVE_UNSAFE for what is no plain path below
   * the tree or leads through something that is no folder, and what the system says of a folder on the way that is missing.
   */
  at(path: ByteString): FsPath {
    if (!isPlainPath(path)) throw unsafe(path, "is no plain path below its folder");
    const slash = path.lastIndexOf("/");
    if (slash < 0) return fsPath(`${this.#root.place}/${path}`);
    return fsPath(`${this.#folder(path.slice(0, slash)).place}${path.slice(slash)}`);
  }

  /** The path of a folder itself, "" being the tree; it may be given to any call. Throws as `at`. */
  folder(path: ByteString): FsPath {
    if (path === "") return fsPath(`${this.#root.place}/.`);
    if (!isPlainPath(path)) throw unsafe(path, "is no plain path below its folder");
    // A descriptor by itself is a link to the folder.
    return fsPath(`${this.#folder(path).place}/.`);
  }

  /** What a folder holds, in no order. Throws as `at`. */
  entries(path: ByteString): Dirent[] {
    return readdirSync(this.folder(path), { withFileTypes: true, encoding: "latin1" });
  }

  /** What something is; undefined when it is not there. Throws as `at`. */
  stats(path: ByteString): Stats | undefined {
    return orMissing(() => lstatSync(this.at(path)));
  }

  /** Where a link points. Throws as `at`. */
  target(path: ByteString): ByteString {
    return readlinkSync(this.at(path), "latin1");
  }

  /**
   * Reads a whole file of at most `limit` bytes; undefined when it is not there. Throws ARCHIVE_UNSAFE for anything but a regular
   * file, TOO_LARGE, CONFLICT and FILE_SYSTEM.
   */
  read(path: ByteString, limit: number): Buffer | undefined {
    const shown = `${this.directory}/${shownName(path)}`;
    try {
      return orMissing(() => {
        const descriptor = this.#openFile(path);
        if (descriptor === undefined) return undefined;
        try {
          return readDescriptor(descriptor, shown, limit);
        } finally {
          closeSync(descriptor);
        }
      });
    } catch (cause) {
      throw fileError(cause, "read", shown);
    }
  }

  // Looked at before it is opened: opening is enough to change some devices.
  #openFile(path: ByteString): number | undefined {
    const stats = this.stats(path);
    if (stats === undefined) return undefined;
    if (!stats.isFile()) throw unsafe(path, "is not a regular file");
    try {
      return openSync(this.at(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      throw systemCode(cause) === "ELOOP" ? unsafe(path, "is not a regular file") : cause;
    }
  }

  /**
   * Writes a whole file: beside its place, under a name that cannot be guessed, and renamed. What it replaces must be a regular
   * file; other names of that keep the old content. Without `mode` the umask decides. Throws ARCHIVE_UNSAFE and FILE_SYSTEM.
   */
  write(path: ByteString, text: string | Buffer, mode?: number): void {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    try {
      if (this.stats(path)?.isFile() === false) throw unsafe(path, "is not a regular file");
      this.#replace(path, (temporary) => {
        const descriptor = openSync(this.at(temporary), NEW_FILE, mode ?? 0o666);
        try {
          if (mode !== undefined) fchmodSync(descriptor, mode);
          for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
        } finally {
          closeSync(descriptor);
        }
      });
    } catch (cause) {
      throw fileError(cause, "write", `${this.directory}/${shownName(path)}`);
    }
  }

  /** Sets the mode of a file or folder, which need not be readable. Throws as `at`, and ARCHIVE_UNSAFE for a link. */
  chmod(path: ByteString, mode: number): void {
    const descriptor = openSync(this.at(path), O_PATH | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (fstatSync(descriptor).isSymbolicLink()) throw unsafe(path, "is a link");
      chmodSync(this.isPinned ? `${DESCRIPTORS}${descriptor}` : this.at(path), mode);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Points a link elsewhere; there is a link at any moment. Throws as `at`. */
  relink(path: ByteString, target: Buffer): void {
    this.#replace(path, (temporary) => symlinkSync(target, this.at(temporary)));
  }

  #replace(path: ByteString, make: (temporary: ByteString) => void): void {
    const temporary = temporaryName(path.slice(0, path.lastIndexOf("/") + 1));
    try {
      make(temporary);
      // Both are in one folder, so the second look-up keeps the path of the first.
      renameSync(this.at(temporary), this.at(path));
    } catch (cause) {
      this.#remove(temporary);
      throw cause;
    }
  }

  #remove(temporary: ByteString): void {
    try {
      unlinkSync(this.at(temporary));
    } catch {
      // What went wrong before says more.
    }
  }

  /** Makes a folder where there is none. Throws ARCHIVE_UNSAFE when something else is there, and FILE_SYSTEM. */
  makeFolder(path: ByteString): void {
    try {
      try {
        mkdirSync(this.at(path));
      } catch (cause) {
        if (systemCode(cause) !== "EEXIST") throw cause;
      }
      this.folder(path);
    } catch (cause) {
      throw fileError(cause, "make folder", `${this.directory}/${shownName(path)}`);
    }
  }

  /**
   * A new file for a program of others, which gets its descriptor as its number 3 and opens it as `path`. Where that can be, no
   * folder has it any more, so that a kill leaves nothing behind and nothing can be put in its place.
   */
  temporary(): Temporary {
    const name = temporaryName("");
    const descriptor = openSync(this.at(name), NEW_FILE, 0o700);
    if (!this.isPinned) return new Temporary(descriptor, `${this.directory}/${name}`, () => this.#remove(name));
    this.#remove(name);
    return new Temporary(descriptor, `${DESCRIPTORS}3`, () => {});
  }

  [Symbol.dispose](): void {
    for (const { descriptor } of this.#folders.values()) closeSync(descriptor);
    this.#folders.clear();
    closeSync(this.#root.descriptor);
  }

  #folder(path: ByteString): Held {
    if (this.#last.path === path) return this.#last;
    const known = this.#folders.get(path);
    const held = known ?? this.#enter(path);
    if (known !== undefined) this.#folders.delete(path);
    this.#folders.set(path, held);
    this.#last = held;
    if (this.#folders.size > MOST_HELD) this.#forget();
    return held;
  }

  #forget(): void {
    for (const [path, { descriptor }] of this.#folders) {
      this.#folders.delete(path);
      closeSync(descriptor);
      return;
    }
  }

  // From the nearest folder above that is held.
  #enter(path: ByteString): Held {
    let known: Held | undefined;
    let above = path;
    while (known === undefined && above !== "") {
      above = above.slice(0, Math.max(0, above.lastIndexOf("/")));
      known = this.#folders.get(above);
    }
    const start = known ?? this.#root;
    let at = start;
    for (const name of path.slice(above === "" ? 0 : above.length + 1).split("/")) {
      const parent = at;
      try {
        at = enter(parent, name, path);
      } finally {
        if (parent !== start) closeSync(parent.descriptor);
      }
    }
    return at;
  }
}

/** A file that no other process can exchange for another one. Dispose of it to remove it. */
export class Temporary implements Disposable {
  readonly descriptor: number;
  /** What a program that has the descriptor as its number 3 opens. */
  readonly path: string;
  readonly #remove: () => void;

  constructor(descriptor: number, path: string, remove: () => void) {
    this.descriptor = descriptor;
    this.path = path;
    this.#remove = remove;
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
    this.#remove();
  }
}

const DESCRIPTORS = "/proc/self/fd/";

let hasDescriptors: boolean | undefined;

function hold(path: ByteString, descriptor: number, place: ByteString): Held {
  hasDescriptors ??= isDescriptor(`${DESCRIPTORS}${descriptor}`, descriptor);
  return { path, descriptor, place: hasDescriptors ? `${DESCRIPTORS}${descriptor}` : place };
}

function isDescriptor(path: string, descriptor: number): boolean {
  try {
    const [found, wanted] = [statSync(path, { bigint: true }), fstatSync(descriptor, { bigint: true })];
    return found.dev === wanted.dev && found.ino === wanted.ino;
  } catch {
    return false;
  }
}

function enter(parent: Held, name: ByteString, asked: ByteString): Held {
  const place = `${parent.place}/${name}`;
  const path = parent.path === "" ? name : `${parent.path}/${name}`;
  try {
    return hold(path, openSync(fsPath(place), FOLDER | constants.O_NOFOLLOW), place);
  } catch (cause) {
    if (!["ENOTDIR", "ELOOP"].includes(systemCode(cause) ?? "")) throw cause;
    throw unsafe(asked, "leads through something that is no folder");
  }
}

const temporaryName = (folder: ByteString): ByteString => `${folder}.stave-${randomBytes(12).toString("hex")}.temp`;

function orMissing<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined;
    throw cause;
  }
}

function unsafe(path: ByteString, how: string): StaveError {
  const shown = shownName(path);
  return new StaveError("ARCHIVE_UNSAFE", `the path ${JSON.stringify(shown)} is unsafe: it ${how}`, {
    subject: shown,
    hint: "it was not made by Spack or stave; do not use it",
  });
}
