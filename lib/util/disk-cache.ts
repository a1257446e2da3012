// A cache of entries between runs: one file each, in a folder that may be deleted at any time. Entries that
// cannot be read or written count as absent; readers must validate what they get.
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  futimesSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StaveError, systemCode } from "../errors.ts";
import { makeFolder } from "./folder.ts";
import { release } from "./free-chunks.ts";
import { PieceWriter } from "./piece-writer.ts";
import { readDescriptor } from "./read-file.ts";
import { replaceFileSync } from "./replace-file.ts";
import type { Clock } from "./time.ts";

/** The place and size of a disk cache. */
export interface DiskCacheOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** Maximum number of bytes kept; the least recently used entries are deleted first. Default: 256 MiB. */
  readonly limit?: number | undefined;
  /** Maximum number of bytes of one entry. Default: 64 MiB. */
  readonly entryLimit?: number | undefined;
  /** Uses only entries in folders that belong to this user or to root, and that no one else may write. */
  readonly owner?: number | undefined;
}

/** Follows a stream on its way into a cache. */
export interface StoreWatcher {
  /** Called with the path of the file before anything is written to it. */
  readonly begun?: (path: string) => void;
  /** Called with the number of bytes that the file has. */
  readonly written?: ((size: number) => void) | undefined;
}

const LIMIT = 256 * 1024 * 1024;
const ENTRY_LIMIT = 64 * 1024 * 1024;
/** Streams are written in pieces of this size: each takes a trip to another thread. */
const AT_ONCE = 1024 * 1024;
/** The folder is scanned only once per `limit / SHARE` written bytes, because a scan takes time. */
const SHARE = 16;

/** A cache on disk that processes may share: each entry is written beside its place and renamed into it. */
export class DiskCache {
  readonly #options: DiskCacheOptions;
  readonly #limit: number;
  readonly #entryLimit: number;
  #written = Number.POSITIVE_INFINITY;

  constructor(options: DiskCacheOptions) {
    this.#options = options;
    this.#limit = options.limit ?? LIMIT;
    this.#entryLimit = options.entryLimit ?? ENTRY_LIMIT;
  }

  /**
   * The bytes of an entry; undefined if it is absent or unreadable. Does not wait for the disk in the background: a
   * push or an installation asks for hundreds of entries, and most of them are small or absent.
   */
  get(kind: string, key: string): Buffer | undefined {
    const path = this.#path(kind, key);
    let file: number | undefined;
    try {
      file = this.#open(path);
      const bytes = readDescriptor(file, path, this.#entryLimit);
      const now = this.#options.clock.now() / 1000;
      // The modification time records the last use.
      futimesSync(file, now, now);
      return bytes;
    } catch {
      return undefined;
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  /**
   * Stores an entry; does nothing if that fails. The entry is written when this returns, so it survives a kill
   * of the process.
   */
  set(kind: string, key: string, bytes: Uint8Array): void {
    if (bytes.length > this.#entryLimit) return;
    const path = this.#path(kind, key);
    const { clock } = this.#options;
    if (this.#foreignFolder(dirname(path)) !== undefined) return;
    const temporary = `${path}.${Math.floor(clock.random() * 2 ** 48).toString(36)}.tmp`;
    try {
      try {
        replaceFileSync(path, { temporary, mode: 0o600 }, bytes);
      } catch (error) {
        // Only the first entry in a folder finds it missing.
        if (systemCode(error) !== "ENOENT") throw error;
        makeFolder(dirname(path), 0o700);
        replaceFileSync(path, { temporary, mode: 0o600 }, bytes);
      }
      this.#written += bytes.length;
      if (this.#written > this.#limit / SHARE) this.#shrink();
    } catch {
      // The entry is not cached.
    }
  }

  /**
   * Opens an entry that has exactly `size` bytes, for those that are too large for memory; undefined if there is none.
   * The caller closes the descriptor.
   */
  openEntry(kind: string, key: string, size: number): number | undefined {
    let file: number | undefined;
    try {
      file = this.#open(this.#path(kind, key));
      const found = fstatSync(file);
      if (!found.isFile() || found.size !== size) throw new Error("another entry");
      const now = this.#options.clock.now() / 1000;
      futimesSync(file, now, now);
      return file;
    } catch {
      if (file !== undefined) closeSync(file);
      return undefined;
    }
  }

  /**
   * Stores a stream under the key that is known at its end; frees the memory of its chunks. Returns false if it is too
   * large or the disk refuses; then the stream was not read to its end. Throws the error of the stream.
   */
  async store(
    kind: string,
    stream: AsyncIterable<Uint8Array>,
    keyAtEnd: () => string,
    watcher: StoreWatcher = {},
  ): Promise<boolean> {
    const name = Math.floor(this.#options.clock.random() * 2 ** 48).toString(36);
    const temporary = join(this.#options.folder, kind, "new", `${name}.tmp`);
    let handle: FileHandle | undefined;
    try {
      if (this.#foreignFolder(dirname(temporary)) !== undefined) return false;
      makeFolder(dirname(temporary), 0o700);
      handle = await open(temporary, "wx", 0o600);
    } catch {
      return false;
    }
    try {
      watcher.begun?.(temporary);
      const size = await writeAll(handle, stream, { limit: this.#entryLimit, written: watcher.written });
      if (size === undefined) return false;
      const path = this.#path(kind, keyAtEnd());
      if (this.#foreignFolder(dirname(path)) !== undefined) return false;
      makeFolder(dirname(path), 0o700);
      renameSync(temporary, path);
      this.#written += size;
      if (this.#written > this.#limit / SHARE) this.#shrink();
      return true;
    } catch (error) {
      if (error instanceof StaveError || systemCode(error) === undefined) throw error;
      return false;
    } finally {
      await handle.close().catch(() => {});
      remove(temporary);
    }
  }

  /** The entries of a kind that were used since a time, in milliseconds; the latest first, at most `most`. */
  recent(kind: string, since: number, most: number): Buffer[] {
    const found: { path: string; used: number }[] = [];
    for (const part of inside(join(this.#options.folder, kind), "folder"))
      for (const path of inside(part, "file")) {
        const used = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
        if (used >= since && !path.endsWith(".tmp")) found.push({ path, used });
      }
    const latest = found.toSorted((a, b) => b.used - a.used).slice(0, most);
    return latest.flatMap(({ path }) => {
      let file: number | undefined;
      try {
        file = this.#open(path);
        return [readDescriptor(file, path, this.#entryLimit)];
      } catch {
        return [];
      } finally {
        if (file !== undefined) closeSync(file);
      }
    });
  }

  /** Deletes an entry. */
  delete(kind: string, key: string): void {
    remove(this.#path(kind, key));
  }

  /** The folder of an entry, if there is an `owner` and others may change what is in it; undefined otherwise. */
  foreignFolder(kind: string, key: string): string | undefined {
    return this.#foreignFolder(dirname(this.#path(kind, key)));
  }

  // Folders that do not exist are created for this user alone.
  #foreignFolder(last: string): string | undefined {
    const { owner, folder } = this.#options;
    if (owner === undefined) return undefined;
    return [folder, dirname(last), last].find((path) => {
      try {
        const found = lstatSync(path, { throwIfNoEntry: false });
        return found !== undefined && !(found.isDirectory() && isOwn(found, owner));
      } catch {
        return true;
      }
    });
  }

  // Throws for an entry that others may have written.
  #open(path: string): number {
    const { owner } = this.#options;
    const flags = constants.O_RDONLY | constants.O_NONBLOCK;
    if (owner === undefined) return openSync(path, flags);
    const file = openSync(path, flags | constants.O_NOFOLLOW);
    if (isOwn(fstatSync(file), owner) && this.#foreignFolder(dirname(path)) === undefined) return file;
    closeSync(file);
    throw new Error("another user's entry");
  }

  // A key may contain any character, so the file is named by its digest.
  #path(kind: string, key: string): string {
    const name = createHash("sha256").update(key).digest("hex");
    return join(this.#options.folder, kind, name.slice(0, 2), name);
  }

  #shrink(): void {
    this.#written = 0;
    const entries: { path: string; size: number; used: number }[] = [];
    for (const kind of inside(this.#options.folder, "folder"))
      for (const part of inside(kind, "folder"))
        for (const path of inside(part, "file")) {
          const found = lstatSync(path, { throwIfNoEntry: false });
          if (found) entries.push({ path, size: found.size, used: found.mtimeMs });
        }
    let total = entries.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of entries.sort((a, b) => a.used - b.used)) {
      if (total <= this.#limit) break;
      remove(path);
      total -= size;
    }
  }
}

const OTHERS_WRITE = 0o022;

function isOwn({ uid, mode }: { readonly uid: number; readonly mode: number }, owner: number): boolean {
  return (uid === owner || uid === 0) && (mode & OTHERS_WRITE) === 0;
}

// The number of bytes; undefined if there are too many or the disk refuses.
async function writeAll(
  handle: FileHandle,
  stream: AsyncIterable<Uint8Array>,
  { limit, written = () => {} }: { readonly limit: number } & Pick<StoreWatcher, "written">,
): Promise<number | undefined> {
  let size = 0;
  let done = 0;
  const recycle = (chunk: Uint8Array): void => {
    done += chunk.byteLength;
    written(done);
    release(chunk);
  };
  const writer = new PieceWriter(handle, { recycle, piece: AT_ONCE });
  const isWritten = async (write: Promise<void>): Promise<boolean> => {
    try {
      await write;
      return true;
    } catch {
      return false;
    }
  };
  try {
    for await (const chunk of stream) {
      size += chunk.byteLength;
      if (size > limit || !(await isWritten(writer.write(chunk)))) return undefined;
    }
    return (await isWritten(writer.flush())) ? size : undefined;
  } finally {
    await writer.abandon();
  }
}

// The folders or files in a folder. The target of a link must not be removed, and Node's recursive listing would follow
// links.
function inside(folder: string, kind: "folder" | "file"): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => (kind === "folder" ? entry.isDirectory() : entry.isFile()))
      .map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It stays and takes space until someone can remove it.
  }
}
