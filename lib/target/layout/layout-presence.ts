// Presence in a layout: every process with temporary files there holds a shared lock, which is released when it is
// killed. A process that arrives and finds itself alone knows that every temporary file is a leftover.

import { lstat, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { closeAfterError } from "../../util/close-all.ts";
import { LockFile, type LockRange } from "../../util/file-lock.ts";
import { isLink } from "../../util/inspect-path.ts";
import type { Clock } from "../../util/time.ts";

/** The lock file of a layout. Its first byte stands for the index, its second for the folder of temporary files. */
export const LOCK_NAME = ".stave-lock";
/** The byte that writers of the index lock. */
const LIST_RANGE: LockRange = { start: 0n, length: 1n };
/** The byte that processes with temporary files share. */
const TEMPORARY_RANGE: LockRange = { start: 1n, length: 1n };
/** The folder of temporary files. */
export const TEMPORARY_FOLDER = ".tmp";
/** The entries through which a layout is written. */
const WRITTEN = [LOCK_NAME, TEMPORARY_FOLDER, "blobs", "blobs/sha256", "blobs/sha512"];
/** A temporary file of this age, in milliseconds, is a leftover even if other processes are active. */
const ABANDONED = 24 * 3600 * 1000;
/** How long to wait for another process that changes the index, in milliseconds. */
const LOCK_TIMEOUT = 60_000;

// One lock per layout for this whole process.
const present = new Map<string, { users: number; lock: Promise<LockFile> }>();

/** Announces that this process may create temporary files in a layout; removes those of killed processes. */
export async function enterLayout(directory: string, clock: Clock): Promise<void> {
  const path = resolve(directory);
  const known = present.get(path) ?? { users: 0, lock: announce(path, clock) };
  present.set(path, known);
  known.users++;
  try {
    await known.lock;
  } catch (error) {
    if (present.get(path) === known) present.delete(path);
    throw error;
  }
}

/** Withdraws one announcement. */
export async function leaveLayout(directory: string): Promise<void> {
  const path = resolve(directory);
  const known = present.get(path);
  if (known === undefined || --known.users > 0) return;
  present.delete(path);
  await (await known.lock).close();
}

/**
 * Throws FILE_SYSTEM if a folder or the lock file of a layout is a link. A layout made by somebody
 * else could otherwise have files written or removed outside it.
 */
export function refuseLinks(directory: string): void {
  for (const name of WRITTEN) {
    const path = join(directory, name);
    if (!isLink(path)) continue;
    throw new StaveError("FILE_SYSTEM", `${path} is a link, and nothing is written through links in an image layout`, {
      subject: path,
      hint: "copy the layout to a new folder, or replace the link by what it leads to",
    });
  }
}

async function announce(directory: string, clock: Clock): Promise<LockFile> {
  refuseLinks(directory);
  const lock = await LockFile.open(join(directory, LOCK_NAME), { create: true });
  try {
    // Locks the index byte too: an index.json being written is also a temporary file.
    const isAlone = lock.tryLock("exclusive");
    await removeTemporary(directory, isAlone ? Number.POSITIVE_INFINITY : clock.now() - ABANDONED);
    while (!lock.tryLock("shared", TEMPORARY_RANGE)) await clock.sleep(5);
    lock.unlock(LIST_RANGE);
    return lock;
  } catch (error) {
    await closeAfterError(() => lock.close());
    throw error;
  }
}

async function removeTemporary(directory: string, before: number): Promise<void> {
  const folder = join(directory, TEMPORARY_FOLDER);
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats?.isFile() && stats.mtimeMs < before) await rm(path, { force: true });
  }
}

/**
 * Runs work while no other process can change the index. Throws CONFLICT if another process holds the lock for too
 * long.
 */
export async function withListLock(directory: string, clock: Clock, work: () => Promise<void>): Promise<void> {
  refuseLinks(directory);
  const path = join(directory, LOCK_NAME);
  await using lock = await LockFile.open(path, { create: true });
  const started = clock.now();
  for (let wait = 2; !lock.tryLock("exclusive", LIST_RANGE); wait = Math.min(50, wait * 2)) {
    if (clock.now() - started > LOCK_TIMEOUT)
      throw new StaveError("CONFLICT", `another process has been changing ${directory} for ${LOCK_TIMEOUT / 1000} s`, {
        subject: path,
        hint: "wait for it to finish, or end it",
      });
    await clock.sleep(wait * (0.5 + clock.random()));
  }
  await work();
}
