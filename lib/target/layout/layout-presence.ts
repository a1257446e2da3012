// Who is at work in a layout: everybody with temporary files there shares a lock, which a killed process lets go of. So whoever
// comes and is alone knows that every temporary file is a leftover.
import { lstat, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { LockFile, type LockRange } from "../../util/file-lock.ts";
import type { Clock } from "../../util/time.ts";

/** The lock file of a layout. Its first byte stands for the list, its second for the folder of temporary files. */
export const LOCK_NAME = ".stave-lock";
/** The byte of those who change the list. */
export const LIST_RANGE: LockRange = { start: 0n, length: 1n };
/** The byte of those who have temporary files. */
const TEMPORARY_RANGE: LockRange = { start: 1n, length: 1n };
/** The folder of unfinished things. */
export const TEMPORARY_FOLDER = ".tmp";
/** A temporary file this old is a leftover even if others are at work, in milliseconds. */
const ABANDONED = 24 * 3600 * 1000;

// One lock for all that this process does in a layout.
const present = new Map<string, { users: number; lock: Promise<LockFile> }>();

/** Announces that temporary files may be made in a layout; removes what killed processes left behind. */
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

/** Takes back one announcement. */
export async function leaveLayout(directory: string): Promise<void> {
  const path = resolve(directory);
  const known = present.get(path);
  if (known === undefined || --known.users > 0) return;
  present.delete(path);
  await (await known.lock).close();
}

async function announce(directory: string, clock: Clock): Promise<LockFile> {
  const lock = await LockFile.open(join(directory, LOCK_NAME), { create: true });
  try {
    // Not the temporary byte alone: an index.json that is being written lies there, too.
    const isAlone = lock.tryLock("exclusive");
    await removeTemporary(directory, isAlone ? Number.POSITIVE_INFINITY : clock.now() - ABANDONED);
    while (!lock.tryLock("shared", TEMPORARY_RANGE)) await clock.sleep(5);
    lock.unlock(LIST_RANGE);
    return lock;
  } catch (error) {
    await lock.close();
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
