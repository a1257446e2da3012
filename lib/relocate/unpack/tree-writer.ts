// Writes the members of an archive below an empty folder, by rules that keep them there: every parent folder was
// created by this run, nothing existing is opened or replaced, and links are never followed.
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { fileError, isStaveError, StaveError, systemCode } from "../../errors.ts";
import { BUILD_INFO } from "../../image/archive/prefix-walk.ts";
import { type ByteString, isPlainPath, pythonText, shownName } from "../../util/byte-string.ts";
import { type FsPath, HeldTree } from "../../util/held-tree.ts";
import type { TarMember, TarVisitor } from "./tar-reader.ts";

/** The modes of installed files; a file that is not executable loses those bits (Spack `util/file_permissions.py`). */
export interface Permissions {
  readonly directory: number;
  readonly file: number;
}

/** Spack's default. */
export const DEFAULT_PERMISSIONS: Permissions = { directory: 0o2755, file: 0o755 };

/** The limits on an archive. */
export interface UnpackLimits {
  readonly members: number;
  /** Bytes, headers included. */
  readonly bytes: number;
  /** Maximum ratio of its size to its compressed size, beyond the first 256 MiB. */
  readonly ratio: number;
}

/** Far above real packages: toolkits for accelerators reach a million files and 100 GB. */
export const DEFAULT_LIMITS: UnpackLimits = { members: 2_000_000, bytes: 1e12, ratio: 200 };

/** How to write a tree. */
export interface TreeWriterOptions {
  readonly permissions: Permissions;
  readonly limits: UnpackLimits;
  readonly hash?: string | undefined;
}

/** The result of unpacking. */
export interface Unpacked {
  /** The prefix in the archive: an absolute path. */
  readonly prefix: string;
  /** Its current location. */
  readonly directory: string;
  readonly members: number;
  /** The total size of all files, in bytes. */
  readonly bytes: number;
}

// Twice as deep as any installed package; it bounds the work per member.
const DEEPEST = 256;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Creates the tree. The folder starts empty, so anything in the way came from the archive. */
export class TreeWriter implements TarVisitor, Disposable {
  readonly #tree: HeldTree;
  readonly #permissions: Permissions;
  readonly #limits: UnpackLimits;
  readonly #hash: string | undefined;
  // The folder of the archive whose content is written to the folder of this tree, with a slash; undefined until it is
  // known. The folders before that are not created: removing them later takes longer than anything else here.
  #top: ByteString | undefined;
  readonly #pending: ByteString[] = [];
  // In order of creation: parents first.
  readonly #folders = new Set<ByteString>();
  readonly #files = new Set<ByteString>();
  #open: { descriptor: number; name: ByteString } | undefined;
  readonly #keptModes = new Map<number, boolean>();
  #keepsFolderModes: boolean | undefined;
  #members = 0;
  #bytes = 0;

  /**
   * With the DAG hash of a spec, a folder whose name ends with it is the prefix, and becomes the folder of this tree.
   * Dispose of it when done, or when it failed.
   */
  constructor(folder: string, { permissions, limits, hash }: TreeWriterOptions) {
    this.#tree = new HeldTree(folder);
    this.#permissions = permissions;
    this.#limits = limits;
    this.#hash = hash;
    if (hash === undefined) this.#top = "";
  }

  member(member: TarMember): void {
    if (++this.#members > this.#limits.members)
      throw new StaveError("TOO_LARGE", `the archive has more than ${this.#limits.members} members`);
    const { type, name } = member;
    if (!isPlainPath(name)) throw unsafe(name, "has a name that is not a plain path below the archive's root");
    const top = this.#top ?? this.#chooseTop(member);
    if (top === undefined) return;
    if (type === "directory" && top.startsWith(`${name}/`)) return;
    if (!name.startsWith(top)) throw unsafe(name, "is outside of the prefix");
    const path = name.slice(top.length);
    if (type === "directory") this.#folder(path);
    else {
      const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
      if (parent !== "") this.#folder(parent);
      this.#make({ ...member, name: path });
    }
  }

  // Undefined while the members are folders that may be those above the prefix.
  #chooseTop({ type, name }: TarMember): ByteString | undefined {
    const folder = type === "directory" ? `${name}/` : name.slice(0, name.lastIndexOf("/") + 1);
    const end = folder.indexOf(`${this.#hash}/`);
    const top = end < 0 ? undefined : folder.slice(0, end + `${this.#hash}/`.length);
    if (top !== undefined && this.#pending.every((path) => top.startsWith(`${path}/`))) this.#top = top;
    else if (type === "directory" && top === undefined) this.#pending.push(name);
    else {
      this.#top = "";
      for (const path of this.#pending) this.#folder(path);
    }
    return this.#top;
  }

  content(bytes: Buffer): void {
    if (this.#open === undefined) return;
    const { descriptor, name } = this.#open;
    this.#bytes += bytes.length;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
    } catch (cause) {
      throw fileError(cause, "write", shownName(name));
    }
  }

  // All files get the fixed times of Spack's archives, whatever this one says: an installation does not depend on the
  // clock.
  contentEnd(): void {
    if (this.#open !== undefined) futimesSync(this.#open.descriptor, 0, 0);
    this.#close();
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#tree[Symbol.dispose]();
  }

  #close(): void {
    if (this.#open !== undefined) closeSync(this.#open.descriptor);
    this.#open = undefined;
  }

  /** Sets modes and times of folders, and finds the prefix. */
  end(): Unpacked {
    const top = this.#top ?? "";
    for (const name of this.#folders) {
      if (!this.#keepsFolderModes) chmodSync(this.#tree.folder(name), this.#permissions.directory);
      lutimesSync(this.#tree.at(name), 0, 0);
    }
    if (top !== "") utimesSync(this.#tree.folder(""), 0, 0);
    const name = this.#prefix();
    const text = pythonText(`${top}${name}`.replace(/\/$/, ""));
    if (!text.isWellFormed()) throw unsafe(name, "is the prefix, but no text");
    return {
      prefix: `/${text}`,
      directory: `${this.#tree.directory}${name === "" ? "" : `/${pythonText(name)}`}`,
      members: this.#members,
      bytes: this.#bytes,
    };
  }

  // Everything is below the prefix except its parent folders; the shortest path to a build info decides.
  #prefix(): ByteString {
    for (let name = ""; ; ) {
      if (name !== "" && this.#files.has(`${name}/${BUILD_INFO}`)) return name;
      if (name === "" && this.#top !== "" && this.#files.has(BUILD_INFO)) return name;
      const [child, ...others] = this.#tree.entries(name).map((entry) => entry.name);
      const path = name === "" ? child : `${name}/${child}`;
      if (path === undefined || child === undefined || others.length > 0 || !this.#folders.has(path))
        throw new StaveError(
          "ARCHIVE_UNSAFE",
          `the archive is not a Spack package: there is no prefix with ${BUILD_INFO}`,
          {
            hint: "only archives made by Spack or stave can be installed",
          },
        );
      name = path;
    }
  }

  #folder(name: ByteString): void {
    if (name === "" || this.#folders.has(name)) return;
    const slash = name.lastIndexOf("/");
    if (slash > 0) this.#folder(name.slice(0, slash));
    if (name.split("/").length > DEEPEST) throw unsafe(name, `is deeper than ${DEEPEST} folders`);
    const { directory } = this.#permissions;
    // A folder that others may write to stays closed to them until the end.
    const mode = (directory & 0o022) === 0 ? directory & 0o777 : 0o700;
    this.#attempt(name, "folder", (path) => {
      mkdirSync(path, mode);
      // The umask or an inherited default ACL may clear bits, and folders inherit setgid. The first one shows it.
      this.#keepsFolderModes ??= (lstatSync(path).mode & 0o7777) === directory;
    });
    this.#folders.add(name);
  }

  #make({ type, name, linkName, mode }: TarMember): void {
    if (type === "symlink") {
      const target = Buffer.from(linkName, "latin1");
      this.#attempt(name, "link", (path) => {
        symlinkSync(target, path);
        lutimesSync(path, 0, 0);
      });
      return;
    }
    if (type === "hardlink") {
      const top = this.#top ?? "";
      const file = linkName.startsWith(top) ? linkName.slice(top.length) : "";
      if (!this.#files.has(file))
        throw unsafe(name, `is a hard link to ${shownName(linkName)}, which is not an earlier file`);
      this.#attempt(name, "hard link", () => this.#hardLink(file, name));
    } else {
      const bits = (mode & 0o111) === 0 ? this.#permissions.file & ~0o111 : this.#permissions.file;
      this.#attempt(name, "file", (path) => {
        const descriptor = openSync(path, NEW_FILE, bits);
        this.#open = { descriptor, name };
        if (this.#isModeKept(descriptor, bits)) return;
        fchmodSync(descriptor, bits);
      });
    }
    this.#files.add(name);
  }

  // True if new files get exactly the mode they are created with, see above.
  #isModeKept(descriptor: number, bits: number): boolean {
    const isKept = this.#keptModes.get(bits) ?? (fstatSync(descriptor).mode & 0o7777) === bits;
    this.#keptModes.set(bits, isKept);
    return isKept;
  }

  #attempt(name: ByteString, kind: string, work: (path: FsPath) => void): void {
    try {
      work(this.#tree.at(name));
    } catch (cause) {
      if (isStaveError(cause)) throw unsafe(name, "leads through something that is not a folder");
      const code = systemCode(cause);
      if (code === "EEXIST") throw unsafe(name, `is a ${kind} where the archive has something else already`);
      throw fileError(cause, `make ${kind}`, shownName(name));
    }
  }

  // The first lookup ensures that the second keeps its folder open.
  #hardLink(from: ByteString, to: ByteString): void {
    const existing = this.#tree.at(from);
    linkSync(existing, this.#tree.at(to));
  }
}

function unsafe(name: ByteString, how: string): StaveError {
  const shown = shownName(name);
  return new StaveError("ARCHIVE_UNSAFE", `the archive is unsafe: ${JSON.stringify(shown)} ${how}`, {
    subject: shown,
    hint: "it was not made by Spack or stave; do not use it",
  });
}
