// Locks on byte ranges that exclude Spack's own (POSIX record locks). They are open file description locks, which
// survive the closing of other descriptors of the same file in this process. Linux only.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { constants as osConstants } from "node:os";
import { fileError, messageOf, StaveError, systemCode } from "../errors.ts";
import { fcntlCall, KOFFI_PACKAGE, type Koffi, koffi } from "./koffi.ts";
import type { Clock } from "./time.ts";

/** A byte range of a file; a length of 0 means to the end, even if the file grows. */
export interface LockRange {
  readonly start: bigint;
  readonly length: bigint;
}

/** The whole file: the range that Spack locks of its database. */
export const WHOLE_FILE: LockRange = { start: 0n, length: 0n };

/** A shared lock admits other shared locks; an exclusive one admits none. */
export type LockMode = "shared" | "exclusive";

/** The range to lock, and how long to wait. */
export interface LockOptions {
  readonly clock: Clock;
  readonly range?: LockRange;
  /** Seconds; 0 means one attempt, undefined means no limit. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Called once, before the first wait, with the holder: `process 123`, or `another process` if the system cannot name
   * it.
   */
  readonly onWait?: ((holder: string) => void) | undefined;
  /** The hint of the CONFLICT error on timeout. */
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

const NO_LOCKS = "make sure that no Spack is running, and set config:locks to false";

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

let calls: SystemCalls | undefined;

function loadCalls(): SystemCalls {
  if (process.platform !== "linux" || process.arch === "arm" || process.arch === "ia32")
    throw new StaveError(
      "UNSUPPORTED",
      `Spack-compatible file locks are not supported on ${process.platform} on ${process.arch}`,
      { hint: NO_LOCKS },
    );
  let library: Koffi;
  try {
    library = koffi();
  } catch (cause) {
    if (cause instanceof StaveError) throw cause;
    const isMissing = systemCode(cause) === "MODULE_NOT_FOUND";
    const reason = isMissing ? `the npm package ${KOFFI_PACKAGE} is not installed` : messageOf(cause);
    const hint = isMissing ? "install stave with its optional dependencies" : NO_LOCKS;
    throw new StaveError("UNSUPPORTED", `Spack-compatible file locks are not available: ${reason}`, { hint, cause });
  }
  const members = { l_type: "short", l_whence: "short", l_start: "int64_t", l_len: "int64_t", l_pid: "int" };
  const pointer = library.inout(library.pointer(library.struct(members)));
  const fcntl = fcntlCall();
  return {
    fcntl: (fd, command, lock) => (fcntl(fd, command, pointer, lock) === 0 ? 0 : library.errno()),
  };
}

/** An open file whose ranges can be locked. Closing it releases all locks. */
export class LockFile implements AsyncDisposable {
  readonly path: string;
  /** Exclusive locks require a writable file; shared ones do not. */
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
   * Opens a lock file as Spack does: for writing, otherwise for reading; `create` creates a missing file. Throws
   * NOT_FOUND, FILE_SYSTEM (also for anything but a regular file), or UNSUPPORTED if the platform has no such locks.
   */
  static async open(path: string, options: { create?: boolean } = {}): Promise<LockFile> {
    calls ??= loadCalls();
    const system = calls;
    const create = options.create === true ? constants.O_CREAT : 0;
    try {
      return new LockFile(path, true, await openRegular(path, constants.O_RDWR | create), system);
    } catch (error) {
      if (!["EACCES", "EPERM", "EROFS"].includes(systemCode(error) ?? "")) throw fileError(error, "open", path);
    }
    try {
      return new LockFile(path, false, await openRegular(path, constants.O_RDONLY), system);
    } catch (error) {
      throw fileError(error, "open", path);
    }
  }

  /**
   * Tries once; false if a conflicting lock is held elsewhere. If this file already holds the range, changes its mode.
   */
  tryLock(mode: LockMode, range: LockRange = WHOLE_FILE): boolean {
    if (mode === "exclusive" && !this.writable)
      throw new StaveError("FILE_SYSTEM", `cannot lock ${this.path}: it is not writable`, {
        op: "lock",
        subject: this.path,
        hint: "check the permissions of the store",
      });
    const failed = this.#call(F_OFD_SETLK, flock(mode === "shared" ? F_RDLCK : F_WRLCK, range));
    if (failed === EAGAIN || failed === EACCES) return false;
    if (failed !== 0) throw this.#failure(failed);
    return true;
  }

  /**
   * Waits for a lock, polling at Spack's intervals; the returned function releases it. Throws CONFLICT on timeout,
   * naming the holding process if the system knows it, and the signal's reason when aborted.
   */
  async lock(mode: LockMode, options: LockOptions): Promise<() => void> {
    const release = await this.lockUnless(mode, () => false, options);
    if (release === undefined) throw new StaveError("INTERNAL", `gave up waiting for ${this.path}`);
    return release;
  }

  /** As `lock`, but before each pause calls `isOver`, and returns undefined if the lock is no longer needed. */
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
      `cannot lock ${this.path}: ${this.#holder(mode, range)} still holds it after ${timeout} s`,
      { subject: this.path, hint: options.hint ?? "wait until the other process has finished" },
    );
  }

  /** True if another process, or another open file of this one, holds a conflicting lock. */
  isTaken(mode: LockMode, range: LockRange): boolean {
    const asked = flock(mode === "shared" ? F_RDLCK : F_WRLCK, range);
    const failed = this.#call(F_OFD_GETLK, asked);
    if (failed !== 0) throw this.#failure(failed);
    return asked.l_type !== F_UNLCK;
  }

  /** Releases a range. */
  unlock(range: LockRange = WHOLE_FILE): void {
    const failed = this.#call(F_OFD_SETLK, flock(F_UNLCK, range));
    if (failed !== 0) throw this.#failure(failed);
  }

  /** Releases all locks and closes the file. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call(command: number, lock: Flock): number {
    return this.#calls.fcntl(this.#file.fd, command, lock);
  }

  // The system reports no process for open file description locks; for Spack's locks it does.
  #holder(mode: LockMode, range: LockRange): string {
    const asked = flock(mode === "shared" ? F_RDLCK : F_WRLCK, range);
    const known = this.#call(F_OFD_GETLK, asked) === 0 && asked.l_type !== F_UNLCK && asked.l_pid > 0;
    return known ? `process ${asked.l_pid}` : "another process";
  }

  #failure(number: number): StaveError {
    const name = Object.entries(osConstants.errno).find(([, value]) => value === number)?.[0] ?? `error ${number}`;
    return new StaveError("FILE_SYSTEM", `cannot lock ${this.path}: the system reports ${name}`, {
      subject: this.path,
      hint: "the file system may not support locks; make sure that no Spack is running, and set config:locks to false",
    });
  }
}

// Another user of the folder may have put a link in its place, which would create or open a file elsewhere, or a FIFO,
// which would block.
async function openRegular(path: string, flags: number): Promise<FileHandle> {
  const irregular = (cause?: unknown): StaveError =>
    new StaveError("FILE_SYSTEM", `cannot lock ${path}: it is not a regular file`, {
      op: "lock",
      subject: path,
      hint: "remove it; the next command creates the file again",
      ...(cause === undefined ? {} : { cause }),
    });
  let file: FileHandle;
  try {
    file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o777);
  } catch (cause) {
    throw systemCode(cause) === "ELOOP" ? irregular(cause) : cause;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw irregular();
}

function flock(type: number, range: LockRange): Flock {
  return { l_type: type, l_whence: 0, l_start: range.start, l_len: range.length, l_pid: 0 };
}

// Milliseconds between attempts (Spack `util/lock.py`): 20 short pauses, 40 longer ones, then long ones indefinitely.
function* pauses(): Iterable<number> {
  for (let tried = 0; tried < 20; tried++) yield 100;
  for (let tried = 0; tried < 40; tried++) yield 200;
  for (;;) yield 500;
}
