// Holds a folder with untrusted content open. Everything below it is reached from its own descriptor, folder by folder,
// without following links. All reads and writes inside an untrusted prefix go through this class.
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

// <fcntl.h> of Linux. A folder can be opened with it without read permission.
const O_PATH = process.platform === "linux" ? 0o10000000 : constants.O_RDONLY;
const FOLDER = O_PATH | constants.O_DIRECTORY;
const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Maximum number of folders of one tree that are held open at once. */
const MOST_HELD = 16;

interface Held {
  readonly path: ByteString;
  readonly descriptor: number;
  /** A path by which the system finds the folder even if it is moved: that of its descriptor. */
  readonly place: ByteString;
}

/**
 * A folder and its content, addressed by relative paths. A returned path is valid for one immediate, synchronous call
 * of `node:fs`: it names a descriptor that the next call on the tree may close and reuse. Dispose of it to close
 * everything.
 */
export class HeldTree implements Disposable {
  readonly directory: string;
  readonly #root: Held;
  // Least recently used first.
  readonly #folders = new Map<ByteString, Held>();
  #last: Held;

  /** Opens a folder; follows links that lead to it. Throws FILE_SYSTEM and NOT_FOUND. */
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

  /** True if other processes cannot redirect a path by replacing a folder meanwhile, which requires /proc. */
  get isPinned(): boolean {
    return this.#root.place.startsWith(DESCRIPTORS);
  }

  /**
   * The path of an entry, for a call that does not follow a link at its end. Throws ARCHIVE_UNSAFE for a path that is
   * not plain or leads through anything but a folder, and the system's error if a parent folder is missing.
   */
  at(path: ByteString): FsPath {
    if (!isPlainPath(path)) throw unsafe(path, "is not a plain path below its folder");
    const slash = path.lastIndexOf("/");
    if (slash < 0) return fsPath(`${this.#root.place}/${path}`);
    return fsPath(`${this.#folder(path.slice(0, slash)).place}${path.slice(slash)}`);
  }

  /** The path of a folder itself ("" is the tree), for any call. Throws as `at`. */
  folder(path: ByteString): FsPath {
    if (path === "") return fsPath(`${this.#root.place}/.`);
    if (!isPlainPath(path)) throw unsafe(path, "is not a plain path below its folder");
    // A descriptor's path is itself a link to the folder.
    return fsPath(`${this.#folder(path).place}/.`);
  }

  /** The entries of a folder, unordered. Throws as `at`. */
  entries(path: ByteString): Dirent[] {
    return readdirSync(this.folder(path), { withFileTypes: true, encoding: "latin1" });
  }

  /** The status of an entry; undefined if it does not exist. Throws as `at`. */
  stats(path: ByteString): Stats | undefined {
    return orMissing(() => lstatSync(this.at(path)));
  }

  /** The target of a link. Throws as `at`. */
  target(path: ByteString): ByteString {
    return readlinkSync(this.at(path), "latin1");
  }

  /**
   * Reads a whole file of at most `limit` bytes; undefined if it does not exist. Throws ARCHIVE_UNSAFE for anything but
   * a regular file, TOO_LARGE, CONFLICT and FILE_SYSTEM.
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

  // Checked before opening, because opening alone can affect some devices.
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
   * Writes a whole file under an unpredictable name beside its place, then renames it. Only a regular file may be
   * replaced; its other names keep the old content. Without `mode` the umask decides. Throws ARCHIVE_UNSAFE and
   * FILE_SYSTEM.
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

  /** Sets the mode of a file or folder, even if it is not readable. Throws as `at`, and ARCHIVE_UNSAFE for a link. */
  chmod(path: ByteString, mode: number): void {
    const descriptor = openSync(this.at(path), O_PATH | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (fstatSync(descriptor).isSymbolicLink()) throw unsafe(path, "is a link");
      chmodSync(this.isPinned ? `${DESCRIPTORS}${descriptor}` : this.at(path), mode);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Replaces a link atomically. Throws as `at`. */
  relink(path: ByteString, target: Buffer): void {
    this.#replace(path, (temporary) => symlinkSync(target, this.at(temporary)));
  }

  #replace(path: ByteString, make: (temporary: ByteString) => void): void {
    const temporary = temporaryName(path.slice(0, path.lastIndexOf("/") + 1));
    try {
      make(temporary);
      // Both are in one folder, so the second lookup keeps the first path valid.
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
      // The original error is more important.
    }
  }

  /** Renames something, as `rename` does. Throws ARCHIVE_UNSAFE, NOT_FOUND and FILE_SYSTEM. */
  move(from: ByteString, to: ByteString): void {
    try {
      // The folders used last are held, so the second look-up keeps the path of the first.
      renameSync(this.at(from), this.at(to));
    } catch (cause) {
      throw fileError(cause, "move", `${this.directory}/${shownName(from)}`);
    }
  }

  /**
   * Creates a folder unless it exists; returns whether it is new. Throws ARCHIVE_UNSAFE if something else is there, and
   * FILE_SYSTEM.
   */
  makeFolder(path: ByteString): boolean {
    try {
      let isNew = true;
      try {
        mkdirSync(this.at(path));
      } catch (cause) {
        if (systemCode(cause) !== "EEXIST") throw cause;
        isNew = false;
      }
      this.folder(path);
      return isNew;
    } catch (cause) {
      throw fileError(cause, "make folder", `${this.directory}/${shownName(path)}`);
    }
  }

  /**
   * A new file for an external program, which inherits it as descriptor 3 and opens it as `path`. If possible it is
   * already unlinked, so that a kill leaves nothing behind and nothing can replace it.
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

  // Starts at the nearest parent folder that is held.
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

/** A file that no other process can replace. Dispose of it to remove it. */
export class Temporary implements Disposable {
  readonly descriptor: number;
  /** The path under which a program with the file as descriptor 3 opens it. */
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
    throw unsafe(asked, "leads through something that is not a folder");
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
