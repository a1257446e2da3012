// Replaces whole files: content is written beside the file and renamed into place, so that a reader sees the old or the
// new content, never a part, and a killed program loses neither.
import { closeSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { fileError } from "../errors.ts";

/** How to replace a file. */
export interface ReplaceOptions {
  /** The path to write to before the rename, in the same folder. An existing file there is lost. */
  readonly temporary: string;
  /** The mode of the new file from its first byte; the umask applies. */
  readonly mode?: number;
  /** Syncs the content to disk before the rename (default: true). */
  readonly isDurable?: boolean;
}

/** A new file, open for writing. */
export interface TemporaryFile {
  readonly handle: FileHandle;
  readonly path: string;
}

/**
 * Replaces or creates a file; returns what `write` returns. On failure the file is unchanged and the temporary one is
 * removed. Throws what `write` throws, and FILE_SYSTEM.
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

/** As replaceFile, with a temporary file that is already open; always closes it. */
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

/**
 * Replaces a file with bytes, without waiting for the disk. On failure removes the temporary file and throws the file
 * system's error.
 */
export function replaceFileSync(path: string, { temporary, mode = 0o666 }: ReplaceOptions, bytes: Uint8Array): void {
  rmSync(temporary, { force: true });
  // "wx" follows no link: a name that can be guessed may have one that another user planted.
  const descriptor = openSync(temporary, "wx", mode);
  try {
    try {
      writeFileSync(descriptor, bytes);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw cause;
  }
}
