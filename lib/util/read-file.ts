// Reads whole files of bounded size. Anything but a regular file is refused without waiting: a pipe would block
// forever.
import { type BigIntStats, constants, fstatSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fileError, StaveError } from "../errors.ts";

/** The content of a file, with a stamp that identifies its state. */
export interface FileContent {
  readonly bytes: Buffer;
  /** Changes whenever the file is replaced or written: device, inode, size and modification time. */
  readonly stamp: string;
}

/**
 * Reads a whole file of at most `limit` bytes. Throws NOT_FOUND if it does not exist, TOO_LARGE (before reading) if it
 * is larger, CONFLICT if it changed while it was read, FILE_SYSTEM otherwise.
 */
export async function readBounded(path: string, limit: number): Promise<FileContent> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const before = await file.stat({ bigint: true });
    const bytes = await readUpTo(file, sizeOf(before, path, limit));
    return { bytes, stamp: unchanged(before, await file.stat({ bigint: true }), bytes, path) };
  } catch (error) {
    throw fileError(error, "read", path);
  } finally {
    await file?.close();
  }
}

/**
 * True if a file exists and is in the state of a stamp. It is opened for that: otherwise, a network file system may
 * answer from its cache. Throws FILE_SYSTEM.
 */
export async function hasStamp(path: string, stamp: string): Promise<boolean> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return stampOf(await file.stat({ bigint: true })) === stamp;
  } catch (cause) {
    const error = fileError(cause, "read", path);
    if (error.code === "NOT_FOUND") return false;
    throw error;
  } finally {
    await file?.close();
  }
}

/** Reads the whole file of an open descriptor, as readBounded does. */
export function readDescriptor(descriptor: number, path: string, limit: number): Buffer {
  const before = fstatSync(descriptor, { bigint: true });
  const bytes = readFirst(descriptor, sizeOf(before, path, limit));
  unchanged(before, fstatSync(descriptor, { bigint: true }), bytes, path);
  return bytes;
}

/** Reads the first `size` bytes of an open descriptor, or all if it has fewer. */
export function readFirst(descriptor: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const count = readSync(descriptor, bytes, filled, size - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

function sizeOf(stats: BigIntStats, path: string, limit: number): number {
  if (!stats.isFile())
    throw new StaveError("FILE_SYSTEM", `cannot read ${path}: it is not a regular file`, { subject: path });
  if (stats.size > BigInt(limit)) throw tooLarge(path, stats.size, limit);
  return Number(stats.size);
}

/** The stamp of a file's state (see FileContent). */
export function stampOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return `${dev}.${ino}.${size}.${mtimeNs}`;
}

function unchanged(before: BigIntStats, after: BigIntStats, bytes: Buffer, path: string): string {
  const stamp = stampOf(before);
  if (stamp === stampOf(after) && BigInt(bytes.byteLength) === before.size) return stamp;
  throw new StaveError("CONFLICT", `${path} changed while it was read`, {
    subject: path,
    hint: "run the same command again",
  });
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
