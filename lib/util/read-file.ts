// Whole files of bounded size. What is no regular file is refused without waiting for it: a pipe would block forever.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fileError, StaveError } from "../errors.ts";

/** The content of a file, and what tells one state of it from another. */
export interface FileContent {
  readonly bytes: Buffer;
  /** Changes whenever the file is replaced or written: device, inode, size and time of the last change. */
  readonly stamp: string;
}

/**
 * Reads a whole file of at most `limit` bytes. Throws NOT_FOUND when there is none, TOO_LARGE without reading it when
 * it is larger, CONFLICT when it changed while it was read, FILE_SYSTEM otherwise.
 */
export async function readBounded(path: string, limit: number): Promise<FileContent> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const before = await file.stat({ bigint: true });
    if (!before.isFile())
      throw new StaveError("FILE_SYSTEM", `cannot read ${path}: it is not a regular file`, { subject: path });
    if (before.size > BigInt(limit)) throw tooLarge(path, before.size, limit);
    const bytes = await readUpTo(file, Number(before.size));
    const after = await file.stat({ bigint: true });
    const [stamp, now] = [before, after].map((state) => `${state.dev}.${state.ino}.${state.size}.${state.mtimeNs}`);
    if (stamp === undefined || stamp !== now || BigInt(bytes.byteLength) !== before.size)
      throw new StaveError("CONFLICT", `${path} changed while it was read`, {
        subject: path,
        hint: "run the same command again",
      });
    return { bytes, stamp };
  } catch (error) {
    throw fileError(error, "read", path);
  } finally {
    await file?.close();
  }
}

function tooLarge(path: string, size: bigint, limit: number): StaveError {
  return new StaveError("TOO_LARGE", `${path} has ${size} bytes, expected at most ${limit}`, { subject: path });
}

async function readUpTo(file: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
