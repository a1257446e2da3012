// Files that are replaced as a whole: written beside their place and renamed into it, so that a reader sees the old content
// or the new one, never a part, and a program that is killed loses neither.
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { fileError } from "../errors.ts";

/** How a file is replaced. */
export interface ReplaceOptions {
  /** The path that is written before it is renamed, in the folder of the file. What is there is lost. */
  readonly temporary: string;
  /** The mode of the new file from its first byte on; the umask applies. */
  readonly mode?: number;
  /** Waits until the content is on the disk before it gets its name (default: true). */
  readonly isDurable?: boolean;
}

/** A new file, open for writing. */
export interface TemporaryFile {
  readonly handle: FileHandle;
  readonly path: string;
}

/**
 * Replaces a file, or makes it; returns what `write` returns. After a failure the file is what it was, and the temporary one is
 * gone. Throws what `write` throws, and FILE_SYSTEM.
 */
export async function replaceFile<T>(
  path: string,
  { temporary, mode = 0o666, isDurable = true }: ReplaceOptions,
  write: (file: FileHandle) => Promise<T>,
): Promise<T> {
  try {
    await rm(temporary, { force: true });
    const handle = await open(temporary, "wx", mode);
    return await replaceWith(path, { handle, path: temporary }, write, isDurable);
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
}

/** The same with a temporary file that is open already; it is closed in any case. */
export async function replaceWith<T>(
  path: string,
  temporary: TemporaryFile,
  write: (file: FileHandle) => Promise<T>,
  isDurable = true,
): Promise<T> {
  const { handle } = temporary;
  try {
    let written: T;
    try {
      written = await write(handle);
      if (isDurable) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary.path, path);
    return written;
  } catch (cause) {
    await rm(temporary.path, { force: true }).catch(() => {});
    throw fileError(cause, "write", path);
  }
}

/** Replaces a file with bytes, without waiting for the disk. Throws what the file system throws, after it has removed what is left. */
export function replaceFileSync(path: string, { temporary, mode = 0o666 }: ReplaceOptions, bytes: Uint8Array): void {
  try {
    writeFileSync(temporary, bytes, { mode });
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw cause;
  }
}
