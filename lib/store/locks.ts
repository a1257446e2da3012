// The locks of a store, which exclude those of every Spack that uses it (Spack `database.py`, SpecLocker): one file for the
// whole database, one byte of another file for the prefix of each spec. A third file is this program's own: one byte for the
// work of one run on a spec (see protocol.ts).

import { StaveError } from "../errors.ts";
import type { LockSettings } from "../spack/config/settings.ts";
import { lockOffset } from "../spack/spec/dag-hash.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { LockFile, type LockMode, type LockOptions, type LockRange } from "../util/file-lock.ts";
import { Limit } from "../util/limit.ts";
import type { Clock } from "../util/time.ts";

/** How locks are taken. */
export interface StoreLockOptions {
  readonly clock: Clock;
  /** Whether at all, and for how long is waited. */
  readonly settings: LockSettings;
  readonly signal?: AbortSignal | undefined;
  /** Told, once for each lock, that somebody else has it and is waited for. */
  readonly onWait?: ((text: string) => void) | undefined;
}

/** Lets go of a lock; calling it again does nothing more. */
export type Release = () => void;

/** The lock of a spec. */
export interface SpecLock {
  /** Lets go of it; calling it again does nothing more. */
  readonly release: Release;
  /** Makes an exclusive lock a shared one, without letting go of it. */
  readonly share: () => void;
}

/** `prefix`: as Spack locks it. `work`: this program's own. */
export type SpecLockKind = "prefix" | "work";

/** The locks of one store in this process. Close it to let go of all. */
export class StoreLocks implements AsyncDisposable {
  /** False where the configuration says that nothing is to be locked (`config:locks`). */
  readonly isEnabled: boolean;
  readonly #folder: string;
  readonly #options: StoreLockOptions;
  readonly #files = new Map<string, Promise<LockFile>>();
  // The system knows this process as one holder, so its own parts take turns here.
  readonly #turn = new Limit(1);
  readonly #held = new Set<string>();

  /** The folder of the database must exist when the first lock is taken (see createStore). */
  constructor(store: Pick<Store, "root" | "locate">, options: StoreLockOptions) {
    this.#folder = store.locate(`${store.root}/${DATABASE_FOLDER}`);
    this.#options = options;
    this.isEnabled = options.settings.isEnabled;
  }

  /**
   * Waits for the lock on the database, and lets only one part of this process have it. Throws CONFLICT, naming the holder
   * where the system tells, after `config:db_lock_timeout`; FILE_SYSTEM where the store cannot be written.
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
   * Waits for a lock of a spec. While it waits it asks whether the lock is still needed, and gives undefined when it is not.
   * Throws as `database`, after `config:package_lock_timeout`; INTERNAL when this process has the lock.
   */
  async spec(
    kind: SpecLockKind,
    hash: string,
    mode: LockMode,
    isOver: () => boolean | Promise<boolean> = () => false,
  ): Promise<SpecLock | undefined> {
    const key = this.#enter(kind, hash);
    if (key === undefined)
      throw new StaveError("INTERNAL", `/${hash} is locked by this process already`, { subject: hash });
    if (!this.isEnabled) return this.#locked(key);
    try {
      const file = await this.#file(FILES[kind]);
      const range = byteOf(hash);
      const timeout = this.#options.settings.packageTimeout;
      const options = this.#waiting(file, `the spec /${hash}`, "config:package_lock_timeout", { timeout, range });
      if ((await file.lockUnless(mode, isOver, options)) !== undefined) return this.#locked(key, file, range);
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
    this.#held.delete(key);
    return undefined;
  }

  /** Takes the exclusive lock of a spec, without waiting; undefined when anybody, this process too, has it. */
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

  /** True if another run works on a spec. Nothing is locked for that. Throws FILE_SYSTEM. */
  async isWorkedOn(hash: string): Promise<boolean> {
    return this.isEnabled && (await this.#file(FILES.work)).isTaken("exclusive", byteOf(hash));
  }

  /** Lets go of everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values())
      await file.then(
        (opened) => opened.close(),
        () => {},
      );
    this.#files.clear();
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
      hint: `wait for the Spack or stave that is at work there, or raise ${setting}`,
      onWait: (holder) => onWait?.(`waiting for ${what}: ${holder} holds ${file.path}`),
    };
  }

  // Each file once: two descriptors of this process would exclude each other.
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
