// Locks on byte ranges of files that exclude Spack's own (POSIX record locks), as open file description locks: other
// descriptors of the same file may be closed in this process without losing them. Linux only; koffi is loaded at the
// first use, because most commands never lock.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { constants as osConstants } from "node:os";
import { fileError, StaveError, systemCode } from "../errors.ts";
import type { Clock } from "./time.ts";

/** Bytes of a file; a length of 0 means to the end, however far that moves. */
export interface LockRange {
  readonly start: bigint;
  readonly length: bigint;
}

/** The whole file, as Spack locks its database. */
export const WHOLE_FILE: LockRange = { start: 0n, length: 0n };

/** Many may share a range, one alone may have it exclusively. */
export type LockMode = "shared" | "exclusive";

/** How long to wait for a lock, and on which clock. */
export interface LockOptions {
  readonly clock: Clock;
  readonly range?: LockRange;
  /** Seconds; 0 means one try, undefined means forever. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called once, before the first wait, with who holds the lock: `process 123` when the system knows. */
  readonly onWait?: ((holder: string) => void) | undefined;
  /** What to do when the time is up. */
  readonly hint?: string | undefined;
}

// <fcntl.h> on 64-bit Linux.
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const EAGAIN = 11;
const EACCES = 13;

interface Flock {
  l_type: number;
  l_whence: number;
  l_start: bigint;
  l_len: bigint;
  l_pid: number;
}

interface SystemCalls {
  /** Returns 0, or the error number. */
  fcntl(fd: number, command: number, lock: Flock): number;
}

let calls: Promise<SystemCalls> | undefined;

async function loadCalls(): Promise<SystemCalls> {
  const unsupported = (cause?: unknown): StaveError =>
    new StaveError(
      "UNSUPPORTED",
      `file locks that Spack honours are not known for ${process.platform} on ${process.arch}`,
      {
        hint: "make sure that no Spack is running, and set config:locks to false",
        ...(cause === undefined ? {} : { cause }),
      },
    );
  if (process.platform !== "linux" || process.arch === "arm" || process.arch === "ia32") throw unsupported();
  try {
    const { default: koffi } = await import("koffi");
    const members = { l_type: "short", l_whence: "short", l_start: "int64_t", l_len: "int64_t", l_pid: "int" };
    const pointer = koffi.inout(koffi.pointer(koffi.struct(members)));
    // What is linked into this process already: glibc or musl alike.
    const fcntl = koffi.load(null).func("int fcntl(int fd, int command, ...)");
    return {
      fcntl: (fd, command, lock) => (fcntl(fd, command, pointer, lock) === 0 ? 0 : koffi.errno()),
    };
  } catch (error) {
    throw unsupported(error);
  }
}

/** An open file on which ranges are locked. Close it to let go of all of them. */
export class LockFile implements AsyncDisposable {
  readonly path: string;
  /** Exclusive locks need a file that may be written; shared ones do not. */
  readonly writable: boolean;
  readonly #file: FileHandle;
  readonly #calls: SystemCalls;

  private constructor(path: string, writable: boolean, file: FileHandle, system: SystemCalls) {
    this.path = path;
    this.writable = writable;
    this.#file = file;
    this.#calls = system;
  }

  /**
   * Opens a lock file as Spack does: for writing, else for reading; with `create` it is made when it is not there.
   * Throws NOT_FOUND, FILE_SYSTEM, or UNSUPPORTED where such locks do not exist.
   */
  static async open(path: string, options: { create?: boolean } = {}): Promise<LockFile> {
    calls ??= loadCalls();
    const system = await calls;
    const create = options.create === true ? constants.O_CREAT : 0;
    try {
      return new LockFile(path, true, await open(path, constants.O_RDWR | create, 0o777), system);
    } catch (error) {
      if (!["EACCES", "EPERM", "EROFS"].includes(systemCode(error) ?? "")) throw fileError(error, "open", path);
    }
    try {
      return new LockFile(path, false, await open(path, constants.O_RDONLY), system);
    } catch (error) {
      throw fileError(error, "open", path);
    }
  }

  /** Tries once, without waiting; false when somebody else holds what excludes it. A range that is held changes its mode. */
  tryLock(mode: LockMode, range: LockRange = WHOLE_FILE): boolean {
    if (mode === "exclusive" && !this.writable)
      throw new StaveError("FILE_SYSTEM", `cannot lock ${this.path}: it may not be written`, {
        subject: this.path,
        hint: "check the permissions of the store",
      });
    const failed = this.#call(F_OFD_SETLK, flock(mode === "shared" ? F_RDLCK : F_WRLCK, range));
    if (failed === EAGAIN || failed === EACCES) return false;
    if (failed !== 0) throw this.#failure(failed);
    return true;
  }

  /**
   * Waits for a lock, asking at Spack's own pace; the answer lets go of it again. Throws CONFLICT when the time is up,
   * naming the process that holds it when the system knows, and the signal's reason when aborted.
   */
  async lock(mode: LockMode, options: LockOptions): Promise<() => void> {
    const release = await this.lockUnless(mode, () => false, options);
    if (release === undefined) throw new StaveError("INTERNAL", `gave up waiting for ${this.path}`);
    return release;
  }

  /** As `lock`, but asks before each pause whether the lock is still needed; undefined when it is not. */
  async lockUnless(
    mode: LockMode,
    isOver: () => boolean | Promise<boolean>,
    options: LockOptions,
  ): Promise<(() => void) | undefined> {
    const { clock, range = WHOLE_FILE, timeout, signal, onWait } = options;
    const started = clock.now();
    let waited = false;
    for (const pause of pauses()) {
      signal?.throwIfAborted();
      if (this.tryLock(mode, range)) return () => this.unlock(range);
      if (await isOver()) return undefined;
      const left = timeout === undefined ? Number.POSITIVE_INFINITY : timeout * 1000 - (clock.now() - started);
      if (left <= 0) break;
      if (!waited) onWait?.(this.#holder(mode, range));
      waited = true;
      await clock.sleep(Math.min(pause, left), signal);
    }
    throw new StaveError(
      "CONFLICT",
      `cannot lock ${this.path}: ${this.#holder(mode, range)} holds it, and ${timeout} s have passed`,
      { subject: this.path, hint: options.hint ?? "wait for whoever is at work there" },
    );
  }

  /** True if another process, or another open file of this one, holds what excludes a lock. */
  isTaken(mode: LockMode, range: LockRange): boolean {
    const asked = flock(mode === "shared" ? F_RDLCK : F_WRLCK, range);
    const failed = this.#call(F_OFD_GETLK, asked);
    if (failed !== 0) throw this.#failure(failed);
    return asked.l_type !== F_UNLCK;
  }

  /** Lets go of a range. */
  unlock(range: LockRange = WHOLE_FILE): void {
    const failed = this.#call(F_OFD_SETLK, flock(F_UNLCK, range));
    if (failed !== 0) throw this.#failure(failed);
  }

  /** Lets go of everything and closes the file. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call(command: number, lock: Flock): number {
    return this.#calls.fcntl(this.#file.fd, command, lock);
  }

  // The holder of an open file description lock has no number; that of Spack's locks has.
  #holder(mode: LockMode, range: LockRange): string {
    const asked = flock(mode === "shared" ? F_RDLCK : F_WRLCK, range);
    const known = this.#call(F_OFD_GETLK, asked) === 0 && asked.l_type !== F_UNLCK && asked.l_pid > 0;
    return known ? `process ${asked.l_pid}` : "another process";
  }

  #failure(number: number): StaveError {
    const name = Object.entries(osConstants.errno).find(([, value]) => value === number)?.[0] ?? `error ${number}`;
    return new StaveError("FILE_SYSTEM", `cannot lock ${this.path}: the system says ${name}`, {
      subject: this.path,
      hint: "the file system may have no locks; make sure that no Spack is running, and set config:locks to false",
    });
  }
}

function flock(type: number, range: LockRange): Flock {
  return { l_type: type, l_whence: 0, l_start: range.start, l_len: range.length, l_pid: 0 };
}

// Milliseconds between tries (Spack `util/lock.py`): 20 short ones, 40 longer ones, then for ever.
function* pauses(): Iterable<number> {
  for (let tried = 0; tried < 20; tried++) yield 100;
  for (let tried = 0; tried < 40; tried++) yield 200;
  for (;;) yield 500;
}
