// Files that are written under a temporary name and renamed when they are complete, in a folder of their own that each
// process removes when it finishes, if it is empty then.
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { fileError, systemCode } from "../errors.ts";
import { makeFolder } from "./folder.ts";
import type { Clock } from "./time.ts";

/** How many times to try to create a file in a folder that other processes keep removing. */
const TRIES = 100;

/**
 * Creates `folder`, and calls `use` with an unused path in it; again if the folder has gone meanwhile. Throws errors of
 * the file system as FILE_SYSTEM, ENOENT as NOT_FOUND.
 */
export async function withTemporaryPath<T>(
  folder: string,
  clock: Clock,
  use: (path: string) => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    const path = join(folder, `${clock.now().toString(36)}-${Math.floor(clock.random() * 2 ** 48).toString(36)}`);
    try {
      makeFolder(folder);
      return await use(path);
    } catch (cause) {
      // Another process may have removed the empty folder as it finished.
      if (systemCode(cause) !== "ENOENT" || tried >= TRIES) throw fileError(cause, "write", path);
    }
  }
}

/** Creates a temporary file, open in append mode: after a truncation, the next write goes to the new end. */
export async function createTemporary(
  folder: string,
  clock: Clock,
): Promise<{ readonly handle: FileHandle; readonly path: string }> {
  return await withTemporaryPath(folder, clock, async (path) => ({ handle: await open(path, "ax+"), path }));
}
