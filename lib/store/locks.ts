// The locks of a store, which exclude every Spack that uses it (Spack `database.py`, SpecLocker): one file for the
// whole database, one byte of another file for the prefix of each spec. A third file is stave's own: one byte for the
// work of one run on a spec (see protocol.ts).

import { StaveError } from "../errors.ts";
import type { LockSettings } from "../spack/config/settings.ts";
import { lockOffset } from "../spack/spec/dag-hash.ts";
import type { SpecNode } from "../spack/spec/node.ts";
import { shortName } from "../spack/spec/node-reader.ts";
import { databaseFolder, type Store } from "../spack/store/store.ts";
import { closeAll } from "../util/close-all.ts";
import { LockFile, type LockMode, type LockOptions, type LockRange } from "../util/file-lock.ts";
import { Limit } from "../util/limit.ts";
import type { Clock } from "../util/time.ts";

/** How to take locks. */
export interface StoreLockOptions {
  readonly clock: Clock;
  /** Whether to lock at all, and how long to wait. */
  readonly settings: LockSettings;
  readonly signal?: AbortSignal | undefined;
  /** Called once per lock if it must be waited for. */
  readonly onWait?: ((text: string) => void) | undefined;
}

/** A spec to lock: with its name for messages, or by its DAG hash alone. */
export type LockedSpec = string | Pick<SpecNode, "name" | "version" | "hash">;

/** Releases a lock; further calls do nothing. */
export type Release = () => void;

/** The lock of a spec. */
export interface SpecLock {
  /** Releases it; further calls do nothing. */
  readonly release: Release;
  /** Turns an exclusive lock into a shared one without releasing it. */
  readonly share: () => void;
}

/** `prefix`: Spack's own lock. `work`: stave's own. */
export type SpecLockKind = "prefix" | "work";

/** The locks of one store in this process. Dispose of it to release all. */
export class StoreLocks implements AsyncDisposable {
  /** False if the configuration disables locking (`config:locks`). */
  readonly isEnabled: boolean;
  readonly #folder: string;
  readonly #options: StoreLockOptions;
  readonly #files = new Map<string, Promise<LockFile>>();
  // To the system this process is one holder, so its parts take turns here.
  readonly #turn = new Limit(1);
  readonly #held = new Set<string>();
  /** The specs whose wait was reported: each has two locks. */
  readonly #told = new Set<string>();

  /** The folder of the database must exist before the first lock is taken (see createStore). */
  constructor(store: Pick<Store, "root" | "locate">, options: StoreLockOptions) {
    this.#folder = databaseFolder(store);
    this.#options = options;
    this.isEnabled = options.settings.isEnabled;
  }

  /**
   * Waits for the lock on the database, which also excludes other parts of this process. Throws CONFLICT after
   * `config:db_lock_timeout`, naming the holder if the system knows it; FILE_SYSTEM if the store is not writable.
   */
  async database(mode: LockMode): Promise<Release> {
    const { settings, signal } = this.#options;
    const leave = await this.#turn.acquire({ signal });
    if (!this.isEnabled) return leave;
    try {
      const file = await this.#file("lock");
      const timeout = settings.databaseTimeout;
      const release = await file.lock(mode, this.#waiting(file, "the database", "config:db_lock_timeout", { timeout }));
      return once(() => {
        release();
        leave();
      });
    } catch (error) {
      leave();
      throw error;
    }
  }

  /**
   * Waits for a lock of a spec; undefined if `isOver` reports meanwhile that it is no longer needed. Throws as
   * `database`, after `config:package_lock_timeout`; INTERNAL if this process already has the lock.
   */
  async spec(
    kind: SpecLockKind,
    spec: LockedSpec,
    mode: LockMode,
    isOver: () => boolean | Promise<boolean> = () => false,
  ): Promise<SpecLock | undefined> {
    const hash = typeof spec === "string" ? spec : spec.hash;
    const key = this.#enter(kind, hash);
    if (key === undefined)
      throw new StaveError("INTERNAL", `/${hash} is already locked by this process`, { subject: hash });
    if (!this.isEnabled) return this.#locked(key);
    try {
      const file = await this.#file(FILES[kind]);
      const range = byteOf(hash);
      const timeout = this.#options.settings.packageTimeout;
      const name = typeof spec === "string" ? `/${hash.slice(0, 7)}` : shortName(spec);
      const options = this.#waiting(file, name, "config:package_lock_timeout", { timeout, range });
      if ((await file.lockUnless(mode, isOver, options)) !== undefined) return this.#locked(key, file, range);
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
    this.#held.delete(key);
    return undefined;
  }

  /** Takes the exclusive lock of a spec without waiting; undefined if any process, including this one, holds it. */
  async trySpec(kind: SpecLockKind, hash: string): Promise<SpecLock | undefined> {
    const key = this.#enter(kind, hash);
    if (key === undefined) return undefined;
    if (!this.isEnabled) return this.#locked(key);
    try {
      const file = await this.#file(FILES[kind]);
      if (file.tryLock("exclusive", byteOf(hash))) return this.#locked(key, file, byteOf(hash));
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
    this.#held.delete(key);
    return undefined;
  }

  /** True if another run works on a spec. Takes no lock. Throws FILE_SYSTEM. */
  async isWorkedOn(hash: string): Promise<boolean> {
    return this.isEnabled && (await this.#file(FILES.work)).isTaken("exclusive", byteOf(hash));
  }

  /** Releases everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    const close = (file: Promise<LockFile>): Promise<void> =>
      file.then(
        (opened) => opened.close(),
        () => {},
      );
    await closeAll(files.map((file) => () => close(file)));
  }

  #enter(kind: SpecLockKind, hash: string): string | undefined {
    const key = `${kind} ${hash}`;
    if (this.#held.has(key)) return undefined;
    this.#held.add(key);
    return key;
  }

  #locked(key: string, file?: LockFile, range?: LockRange): SpecLock {
    return {
      release: once(() => {
        this.#held.delete(key);
        file?.unlock(range);
      }),
      share: () => void file?.tryLock("shared", range),
    };
  }

  #waiting(
    file: LockFile,
    what: string,
    setting: string,
    options: Pick<LockOptions, "timeout" | "range">,
  ): LockOptions {
    const { clock, signal, onWait } = this.#options;
    return {
      ...options,
      clock,
      signal,
      hint: `wait for the other Spack or stave to finish, or raise ${setting}`,
      onWait: (holder) => {
        if (options.range !== undefined && this.#told.has(what)) return;
        this.#told.add(what);
        onWait?.(`waiting for ${what}: ${holder} holds ${file.path}`);
      },
    };
  }

  // Each file is opened once: two descriptors in this process would exclude each other.
  #file(name: string): Promise<LockFile> {
    let file = this.#files.get(name);
    if (file === undefined) {
      file = LockFile.open(`${this.#folder}/${name}`, { create: true });
      this.#files.set(name, file);
      file.catch(() => this.#files.delete(name));
    }
    return file;
  }
}

const FILES: Readonly<Record<SpecLockKind, string>> = { prefix: "prefix_lock", work: "work_lock" };
const byteOf = (hash: string): LockRange => ({ start: lockOffset(hash), length: 1n });

function once(release: Release): Release {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    release();
  };
}
