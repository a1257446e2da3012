// The locks of a store, which exclude those of every Spack that uses it (Spack `database.py`, SpecLocker): one file for the
// whole database, one byte of another file for each spec.

import { StaveError } from "../errors.ts";
import { lockOffset } from "../spack/dag-hash.ts";
import type { LockSettings } from "../spack/settings.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store.ts";
import { LockFile, type LockMode, type LockOptions, type LockRange, WHOLE_FILE } from "../util/file-lock.ts";
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

interface Held {
  readonly mode: LockMode;
  readonly taken: Promise<Release>;
  users: number;
}

/** The locks of one store in this process. Close it to let go of all. */
export class StoreLocks implements AsyncDisposable {
  /** False where the configuration says that nothing is to be locked (`config:locks`). */
  readonly isEnabled: boolean;
  readonly #folder: string;
  readonly #options: StoreLockOptions;
  readonly #files = new Map<string, Promise<LockFile>>();
  // The system knows this process as one holder, so its own parts take turns here.
  readonly #turn = new Limit(1);
  readonly #held = new Map<string, Held>();

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
    try {
      const timeout = settings.databaseTimeout;
      const release = await this.#lock("lock", mode, WHOLE_FILE, timeout, "the database", "config:db_lock_timeout");
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
   * Waits for the lock on the prefix of a spec: exclusive to write it, shared to rely on it. Throws as `database`, after
   * `config:package_lock_timeout`; and INTERNAL when this process has it in a way that excludes this one.
   */
  async prefix(hash: string, mode: LockMode): Promise<Release> {
    const known = this.#held.get(hash);
    if (known !== undefined && (mode === "exclusive" || known.mode === "exclusive"))
      throw new StaveError("INTERNAL", `the prefix of /${hash} is locked by this process already`, { subject: hash });
    const held = known ?? { mode, taken: this.#lockPrefix(hash, mode), users: 0 };
    this.#held.set(hash, held);
    held.users++;
    try {
      await held.taken;
    } catch (error) {
      this.#leave(hash, held);
      throw error;
    }
    return once(() => this.#leave(hash, held));
  }

  /** As an exclusive `prefix`, but without waiting: undefined when anybody, this process too, has it. */
  async tryPrefix(hash: string): Promise<Release | undefined> {
    if (this.#held.has(hash)) return undefined;
    if (!this.isEnabled) return await this.prefix(hash, "exclusive");
    const file = await this.#file(PREFIX_FILE);
    if (this.#held.has(hash) || !file.tryLock("exclusive", byteOf(hash))) return undefined;
    const taken = Promise.resolve(() => file.unlock(byteOf(hash)));
    const held: Held = { mode: "exclusive", taken, users: 1 };
    this.#held.set(hash, held);
    return once(() => this.#leave(hash, held));
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

  #leave(hash: string, held: Held): void {
    if (--held.users > 0) return;
    this.#held.delete(hash);
    held.taken.then(
      (release) => release(),
      () => {},
    );
  }

  #lockPrefix(hash: string, mode: LockMode): Promise<Release> {
    const timeout = this.#options.settings.packageTimeout;
    return this.#lock(PREFIX_FILE, mode, byteOf(hash), timeout, `the spec /${hash}`, "config:package_lock_timeout");
  }

  async #lock(
    name: string,
    mode: LockMode,
    range: LockRange,
    timeout: number | undefined,
    what: string,
    setting: string,
  ): Promise<Release> {
    if (!this.isEnabled) return () => {};
    const { clock, signal, onWait } = this.#options;
    const file = await this.#file(name);
    const options: LockOptions = {
      clock,
      range,
      timeout,
      signal,
      hint: `wait for the Spack or stave that is at work there, or raise ${setting}`,
      onWait: (holder) => onWait?.(`waiting for ${what}: ${holder} holds ${file.path}`),
    };
    return await file.lock(mode, options);
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

const PREFIX_FILE = "prefix_lock";
const byteOf = (hash: string): LockRange => ({ start: lockOffset(hash), length: 1n });

function once(release: Release): Release {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    release();
  };
}
