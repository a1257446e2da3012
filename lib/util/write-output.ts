// Writes content to a path that a user named for it: a file, or what stands for a reader, such as a FIFO or a device.
import { randomBytes } from "node:crypto";
import { constants, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { fileError, systemCode } from "../errors.ts";
import { replaceFile } from "./replace-file.ts";

/** Chunks of bytes. */
export type Content = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes content to a path. A file is only there once it is whole; what exists and is no regular file stays, and is
 * written to; a FIFO once it has a reader. Throws FILE_SYSTEM, the reason of the signal, and what the content throws.
 */
export async function writeOutput(path: string, content: Content, signal?: AbortSignal): Promise<void> {
  if (!isWrittenTo(path)) {
    const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
    await replaceFile(path, { temporary }, (file) => writeAll(file, content));
    return;
  }
  try {
    // Held until the other is open, or the reader would see an end.
    await using _waiting = await whenRead(path, signal);
    // Appended, because a descriptor may stand for a file with content.
    const file = await open(path, "a");
    try {
      await writeAll(file, content);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
}

/** Names of open descriptors, even those of regular files. */
const DESCRIPTOR = /^\/(?:dev\/(?:fd\/\d+|stdin|stdout|stderr)|proc\/(?:self|\d+)\/fd\/\d+)$/;

// A rename would put a file in the place of a device.
function isWrittenTo(path: string): boolean {
  if (DESCRIPTOR.test(path)) return true;
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && !found.isFile() && !found.isDirectory();
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
}

// Opening a FIFO waits for a reader, and nothing can end that wait; so it is tried until there is one.
async function whenRead(path: string, signal: AbortSignal | undefined): Promise<FileHandle | undefined> {
  while (statSync(path).isFIFO()) {
    signal?.throwIfAborted();
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) !== "ENXIO") throw error;
    }
    await setTimeout(50);
  }
  return undefined;
}

async function writeAll(file: FileHandle, content: Content): Promise<void> {
  for await (const chunk of content)
    for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
}
