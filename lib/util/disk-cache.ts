// Small things that are remembered between runs, one file each, in a folder that may be deleted at any time. What cannot be
// read or written is simply not remembered; whoever reads an entry checks it.
import { createHash } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeFolder } from "./folder.ts";
import { readBounded } from "./read-file.ts";
import { replaceFileSync } from "./replace-file.ts";
import type { Clock } from "./time.ts";

/** Where things are remembered, and how much. */
export interface DiskCacheOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** The most bytes that are kept; the entries that were used longest ago go first. */
  readonly limit?: number | undefined;
  /** The most bytes of one entry. */
  readonly entryLimit?: number | undefined;
}

const LIMIT = 256 * 1024 * 1024;
const ENTRY_LIMIT = 64 * 1024 * 1024;
/** Looking at the whole folder costs time, so it is done once per so many written bytes. */
const SHARE = 16;

/** A cache on disk, shared by processes: an entry is written beside its place and renamed into it. */
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

  /** The bytes of an entry; undefined when it is not there or cannot be read. */
  async get(kind: string, key: string): Promise<Buffer | undefined> {
    const path = this.#path(kind, key);
    try {
      const { bytes } = await readBounded(path, this.#entryLimit);
      const now = this.#options.clock.now() / 1000;
      // When it was used last decides what goes first.
      await utimes(path, now, now);
      return bytes;
    } catch {
      return undefined;
    }
  }

  /**
   * Remembers an entry, or does nothing where that cannot be done. It is written when this returns, so that what is done next
   * can rely on it even when the process is killed.
   */
  set(kind: string, key: string, bytes: Uint8Array): void {
    if (bytes.length > this.#entryLimit) return;
    const path = this.#path(kind, key);
    const { clock } = this.#options;
    const temporary = `${path}.${Math.floor(clock.random() * 2 ** 48).toString(36)}.tmp`;
    try {
      makeFolder(dirname(path), 0o700);
      replaceFileSync(path, { temporary, mode: 0o600 }, bytes);
      this.#written += bytes.length;
      if (this.#written > this.#limit / SHARE) this.#shrink();
    } catch {
      // It is not remembered.
    }
  }

  /** Forgets an entry. */
  delete(kind: string, key: string): void {
    remove(this.#path(kind, key));
  }

  // Keys may hold anything, so names of files are made of their digests.
  #path(kind: string, key: string): string {
    const name = createHash("sha256").update(key).digest("hex");
    return join(this.#options.folder, kind, name.slice(0, 2), name);
  }

  #shrink(): void {
    this.#written = 0;
    const entries: { path: string; size: number; used: number }[] = [];
    for (const entry of readdirSync(this.#options.folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const found = statSync(path, { throwIfNoEntry: false });
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

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It stays, and takes room until somebody can remove it.
  }
}
