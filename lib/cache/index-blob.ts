// Reads the text of an index that a cache has as a blob. A large one is never in memory as a whole: it goes to the disk
// cache, or is already a file, and is read from there.
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { rereadDamaged } from "../target/refetch.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { BLOBS, rememberedBlob } from "../util/remembered-blob.ts";
import { type Expectation, readSized } from "../util/stream.ts";
import { writeDirectory } from "./directory-writer.ts";
import { readDirectory } from "./index-directory.ts";
import { IndexFile } from "./index-file.ts";
import { type CacheIndex, INDEX_LIMIT, readIndexText } from "./index-read.ts";
import { IndexScan, type ScanAnswer } from "./index-scan.ts";

/** Larger indexes are read from a file. */
export const LARGE_INDEX: number = 32 * 1024 * 1024;
const DIRECTORIES = "indexes";

/** Where the text of an index is. */
export interface IndexBlob extends Expectation {
  /** For messages. */
  readonly name: string;
  readonly hint: string;
  /** Caches indexes between runs by digest. */
  readonly memory: DiskCache | undefined;
  /** Opens the blob; the stream fails at its end unless digest and size are right. */
  open(): Promise<Readable>;
  /** The path of the blob, if it is a file of this machine. */
  readonly path?: string | undefined;
  /** From this size on, the text is not read into memory as a whole. */
  readonly large?: number | undefined;
}

/** Reads an index. Throws TOO_LARGE, and what opening the blob and `readIndexText` throw. */
export async function readIndexBlob(blob: IndexBlob): Promise<CacheIndex> {
  const { digest, size, name, memory } = blob;
  if (size > INDEX_LIMIT)
    throw new StaveError("TOO_LARGE", `${printable(name)} has ${size} bytes, expected at most ${INDEX_LIMIT}`, {
      subject: name,
    });
  if (size > (blob.large ?? LARGE_INDEX)) {
    const found = await readLarge(blob);
    if (found !== undefined) return found;
  }
  // What is a file already is not copied.
  const bytes = await rememberedBlob(blob.path === undefined ? memory : undefined, blob, () =>
    rereadDamaged(async () => readSized(await blob.open(), size, name)),
  );
  return readIndexText({ name, bytes, digest, hint: blob.hint });
}

// Undefined if there is no file to read from.
async function readLarge(blob: IndexBlob): Promise<CacheIndex | undefined> {
  const { digest, size, name, hint, memory, path } = blob;
  let descriptor = path === undefined ? memory?.openEntry(BLOBS, digest, size) : openSized(path, size);
  let directory: ScanAnswer;
  const isThere = descriptor !== undefined;
  if (!isThere && memory !== undefined && path === undefined) {
    const received = await rereadDamaged(() => receive(blob, memory));
    directory = received?.directory;
    descriptor = received && memory.openEntry(BLOBS, digest, size);
  }
  if (descriptor === undefined) return undefined;
  const onDamage = (): void => {
    memory?.delete(DIRECTORIES, digest);
    if (path === undefined) memory?.delete(BLOBS, digest);
  };
  const file = new IndexFile({ descriptor, size, digest, name, onDamage });
  if (isThere) {
    const known = memory?.get(DIRECTORIES, digest);
    const remembered = known && readDirectory(known, file, digest);
    if (remembered !== undefined) return remembered;
    await using scan = IndexScan.start(descriptor, size, name);
    scan?.arrived(size);
    if (!(await file.isWhole())) {
      onDamage();
      return undefined;
    }
    directory = await scan?.answer;
  }
  file.isDoubtful = false;
  // Without a thread, this one does its work.
  directory ??= writeDirectory(file, { name }) ?? "unusual";
  if (directory !== "unusual") {
    memory?.set(DIRECTORIES, digest, directory);
    const index = readDirectory(directory, file, digest);
    if (index !== undefined) return index;
  }
  return readIndexText({ name, bytes: file, digest, hint });
}

/** Stores the text of an index, and scans it on its way; undefined if there is no room for it. */
async function receive(blob: IndexBlob, memory: DiskCache): Promise<{ readonly directory: ScanAnswer } | undefined> {
  const { digest, size, name } = blob;
  let descriptor: number | undefined;
  let scan: IndexScan | undefined;
  const begun = (file: string): void => {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    scan = IndexScan.start(descriptor, size, name);
  };
  const written = (count: number): void => scan?.arrived(count);
  try {
    const isStored = await memory.store(BLOBS, await blob.open(), () => digest, { begun, written });
    return isStored ? { directory: await scan?.answer } : undefined;
  } finally {
    await scan?.[Symbol.asyncDispose]();
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function openSized(path: string, size: number): number | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = fstatSync(descriptor);
    if (found.isFile() && found.size === size) return descriptor;
  } catch {
    // The usual way of reading it reports the error.
  }
  if (descriptor !== undefined) closeSync(descriptor);
  return undefined;
}
