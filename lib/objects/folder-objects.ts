// A mirror's files in a folder. Each is written elsewhere and renamed into its place, so that a reader sees all of it
// or nothing.
import { constants, createReadStream } from "node:fs";
import { type FileHandle, link, lstat, open, readdir, rename, rm, rmdir, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { fileError, isStaveError, StaveError, systemCode } from "../errors.ts";
import { algorithmOf, type Digest, Digester, digestOf } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { LockFile } from "../util/file-lock.ts";
import { makeFolder } from "../util/folder.ts";
import { releaserOf } from "../util/free-chunks.ts";
import { PieceWriter } from "../util/piece-writer.ts";
import { readBounded, stampOf } from "../util/read-file.ts";
import { digestMismatch, type Expectation, type Source, sizeMismatch, verifiedStream } from "../util/stream.ts";
import { createTemporary, withTemporaryPath } from "../util/temporary-file.ts";
import type { Clock } from "../util/time.ts";
import type {
  ObjectContent,
  ObjectInfo,
  ObjectOptions,
  Objects,
  OpenLatestOptions,
  OpenObject,
  PlacedObject,
  WriteOptions,
  WriteStreamOptions,
} from "./objects.ts";

/** The size of reads, in bytes. */
const PIECE = 256 * 1024;
/** Where files are written before they get their names; nothing lists this folder. */
const TEMPORARY = ".tmp";
/** A temporary file of this age, in milliseconds, was left by a killed process. */
const ABANDONED = 24 * 3600 * 1000;
/** Deeper folders are not part of any mirror. */
const DEEPEST = 8;
const LOCK = ".stave-lock";
const LOCK_TIMEOUT = 60;

/** The files of a mirror in a folder. */
export class FolderObjects implements Objects {
  readonly name: string;
  readonly can = { list: true, write: true };
  readonly folder: string;
  readonly #clock: Clock;
  #isCleared = false;

  /** `name` is what a user would type; the folder is created by the first write. */
  constructor(folder: string, name: string, clock: Clock) {
    this.folder = folder;
    this.name = name;
    this.#clock = clock;
  }

  path(key: string): string {
    const parts = key.split("/");
    if (parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0")))
      throw new StaveError("CONTENT_INVALID", `${printable(key)} is not a name of a file in ${this.name}`, {
        subject: this.name,
      });
    return join(this.folder, key);
  }

  async read(key: string, limit: number): Promise<ObjectContent | undefined> {
    try {
      const { bytes } = await readBounded(this.path(key), limit);
      return { bytes, token: digestOf(bytes) };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async look(key: string): Promise<ObjectInfo | undefined> {
    const path = this.path(key);
    try {
      const found = await stat(path);
      return found.isFile() ? { key, size: found.size, modified: found.mtimeMs } : undefined;
    } catch (cause) {
      const error = fileError(cause, "look at", path);
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async open(key: string, expected: Expectation): Promise<Readable> {
    const path = this.path(key);
    try {
      // A FIFO would otherwise block a thread of the process until somebody writes to it.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        if (!(await handle.stat()).isFile())
          throw new StaveError("CONTENT_INVALID", `${path} is not a regular file`, { subject: path });
      } catch (error) {
        await handle.close();
        throw error;
      }
      const file = handle.createReadStream({ highWaterMark: PIECE });
      const verified = verifiedStream(file, expected, `${key} of ${this.name}`);
      file.once("error", (cause) => verified.destroy(fileError(cause, "read", path)));
      return verified;
    } catch (cause) {
      const error = fileError(cause, "read", path);
      if (isAbsent(error))
        throw new StaveError("NOT_FOUND", `${this.name} has no ${printable(key)}`, { subject: key, cause });
      throw error;
    }
  }

  identity(key: string): string {
    return `file://${this.path(key)}`;
  }

  async openLatest(
    key: string,
    limit: number,
    { known }: OpenLatestOptions = {},
  ): Promise<OpenObject | "same" | undefined> {
    const path = this.path(key);
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const found = await handle.stat({ bigint: true });
      if (!found.isFile()) throw new StaveError("CONTENT_INVALID", `${path} is not a regular file`, { subject: path });
      if (found.size > BigInt(limit))
        throw new StaveError("TOO_LARGE", `${path} has ${found.size} bytes, expected at most ${limit}`, {
          subject: path,
        });
      const token = stampOf(found);
      if (token !== known) {
        const stream = handle.createReadStream({ highWaterMark: PIECE });
        handle = undefined;
        return { stream, token };
      }
      return "same";
    } catch (cause) {
      const error = fileError(cause, "read", path);
      if (isAbsent(error)) return undefined;
      throw error;
    } finally {
      await handle?.close();
    }
  }

  async *list(prefix: string, { signal }: ObjectOptions = {}): AsyncIterable<ObjectInfo> {
    const below = prefix.replace(/\/$/, "");
    yield* this.#listFolder(below, below.split("/").length, signal);
  }

  async *#listFolder(key: string, depth: number, signal: AbortSignal | undefined): AsyncIterable<ObjectInfo> {
    const folder = this.path(key);
    signal?.throwIfAborted();
    let names: string[];
    try {
      names = await readdir(folder);
    } catch (cause) {
      const error = fileError(cause, "list", folder);
      if (isAbsent(error)) return;
      throw error;
    }
    for (const name of names.sort()) {
      const inner = `${key}/${name}`;
      // A name may be a link, which mirrors made of several folders use. What it names may be gone for a while only.
      const found = await stat(join(folder, name)).catch((cause: unknown) => this.#notFound(cause, folder, name));
      if (found === "dangling") yield { key: inner, size: undefined, modified: undefined };
      else if (found?.isFile()) yield { key: inner, size: found.size, modified: found.mtimeMs };
      else if (found?.isDirectory() && depth < DEEPEST) yield* this.#listFolder(inner, depth + 1, signal);
    }
  }

  async #notFound(cause: unknown, folder: string, name: string): Promise<"dangling" | undefined> {
    const path = join(folder, name);
    const named = await lstat(path).catch(() => undefined);
    if (named?.isSymbolicLink()) return "dangling";
    if (systemCode(cause) === "ENOENT") return undefined;
    throw fileError(cause, "look at", path);
  }

  async write(key: string, source: Source, digest: Digest, options: WriteOptions = {}): Promise<void> {
    const stream = await source.open(0);
    const expected = { digest, size: source.size };
    if (source.isVerified) await this.#place(stream, () => key, { ...options, digest: () => digest });
    else await this.#place(stream, () => key, options, expected);
  }

  async writeStream(
    stream: Readable,
    keyOf: (digest: Digest) => string,
    options: WriteStreamOptions = {},
  ): Promise<{ digest: Digest; size: number }> {
    return await this.#place(stream, keyOf, options);
  }

  async #place(
    stream: Readable,
    keyOf: (digest: Digest) => string,
    { signal, onBytes, digest: known, recycle = releaserOf(stream) }: WriteStreamOptions,
    expected?: Expectation,
  ): Promise<{ digest: Digest; size: number }> {
    await this.#clear();
    let temporary: string | undefined;
    const digester = known === undefined ? new Digester(expected && algorithmOf(expected.digest)) : undefined;
    let size = 0;
    try {
      const created = await createTemporary(join(this.folder, TEMPORARY), this.#clock);
      temporary = created.path;
      const { handle } = created;
      const writer = new PieceWriter(handle, { recycle });
      try {
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          signal?.throwIfAborted();
          digester?.update(chunk);
          size += chunk.byteLength;
          onBytes?.(chunk.byteLength);
          await writer.write(chunk);
        }
        await writer.flush();
      } finally {
        await writer.abandon();
        await handle.close();
      }
      const digest = known?.() ?? digester?.digest() ?? digestOf("");
      const key = keyOf(digest);
      const subject = `${key} of ${this.name}`;
      if (expected !== undefined && size !== expected.size) throw sizeMismatch(subject, expected.size, String(size));
      if (expected !== undefined && digest !== expected.digest) throw digestMismatch(subject, expected.digest, digest);
      const path = this.path(key);
      makeFolder(dirname(path));
      await rename(temporary, path);
      return { digest, size };
    } catch (cause) {
      if (temporary !== undefined) await rm(temporary, { force: true }).catch(() => {});
      signal?.throwIfAborted();
      throw fileError(cause, "write", temporary ?? this.folder);
    }
  }

  // A hard link, made under a temporary name and verified before it gets its own.
  async take({ objects, key: from }: PlacedObject, key: string, expected: Expectation): Promise<boolean> {
    const source = objects.path?.(from);
    // A link to a link would lead out of this mirror.
    if (source === undefined || !(await isFile(source))) return false;
    await this.#clear();
    let temporary: string;
    try {
      temporary = await withTemporaryPath(join(this.folder, TEMPORARY), this.#clock, async (path) => {
        await link(source, path);
        return path;
      });
    } catch {
      // Another file system, or one without links.
      return false;
    }
    try {
      const file = createReadStream(temporary, { highWaterMark: PIECE });
      for await (const _ of verifiedStream(file, expected, `${from} of ${objects.name}`));
      // As young as any file that is written now, so that no cleanup removes it as unused.
      const now = this.#clock.now() / 1000;
      await utimes(temporary, now, now).catch(() => {});
      const path = this.path(key);
      makeFolder(dirname(path));
      await rename(temporary, path);
      return true;
    } catch (cause) {
      throw fileError(cause, "write", temporary);
    } finally {
      // A link that is renamed to another link of its file stays.
      await rm(temporary, { force: true }).catch(() => {});
    }
  }

  async replace(key: string, bytes: Uint8Array, read: string | undefined): Promise<boolean> {
    const path = this.path(key);
    try {
      makeFolder(this.folder);
    } catch (cause) {
      throw fileError(cause, "write", this.folder);
    }
    await using lock = await LockFile.open(join(this.folder, LOCK), { create: true });
    await lock.lock("exclusive", { clock: this.#clock, timeout: LOCK_TIMEOUT });
    const present = await this.read(key, Number.MAX_SAFE_INTEGER);
    if (present?.token !== read)
      throw new StaveError("CONFLICT", `${path} was changed by another process`, {
        subject: path,
        hint: "run the same command again",
      });
    await this.write(
      key,
      { size: bytes.byteLength, open: () => Readable.from([bytes]), isVerified: true },
      digestOf(bytes),
    );
    return true;
  }

  async touch(key: string): Promise<void> {
    const now = this.#clock.now() / 1000;
    await utimes(this.path(key), now, now).catch(() => {});
  }

  async remove(key: string): Promise<boolean> {
    const path = this.path(key);
    try {
      await rm(path);
      return true;
    } catch (cause) {
      const error = fileError(cause, "remove", path);
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** Removes the folder of temporary files if no other process uses it. */
  async close(): Promise<void> {
    if (this.#isCleared) await rmdir(join(this.folder, TEMPORARY)).catch(() => {});
  }

  // Once per run, removes what killed processes left.
  async #clear(): Promise<void> {
    if (this.#isCleared) return;
    this.#isCleared = true;
    const folder = join(this.folder, TEMPORARY);
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const found = await lstat(path).catch(() => undefined);
      // A file with another link has that one's age; it may just have been taken from another mirror.
      if (!found?.isFile() || found.nlink > 1) continue;
      if (this.#clock.now() - found.mtimeMs > ABANDONED) await rm(path, { force: true });
    }
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isFile() === true;
}

function isAbsent(error: unknown): boolean {
  return isStaveError(error) && (error.code === "NOT_FOUND" || (error.system ?? systemCode(error.cause)) === "ENOTDIR");
}
