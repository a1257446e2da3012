// Reads the text of an index that a cache has as a blob. A large one is never in memory as a whole: it goes to the disk
// cache, or is already a file, and is read from there.
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { StaveError } from "../errors.ts";
import { algorithmOf, type Digest, Digester } from "../oci/digest.ts";
import { printable } from "../printable/printable.ts";
import { rereadDamaged } from "../target/refetch.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { BLOBS, rememberedBlob } from "../util/remembered-blob.ts";
import { type Expectation, readSized } from "../util/stream.ts";
import { readDirectory, writeDirectory } from "./index-directory.ts";
import { IndexFile } from "./index-file.ts";
import { type CacheIndex, INDEX_LIMIT, readIndexText } from "./index-read.ts";

/** Larger indexes are read from a file. */
export const LARGE_INDEX: number = 32 * 1024 * 1024;
const DIRECTORIES = "indexes";
/** The size of reads when a file is verified. */
const PIECE = 1024 * 1024;

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
  let isVerified = false;
  let descriptor = path === undefined ? memory?.openEntry(BLOBS, digest, size) : openSized(path, size);
  if (descriptor === undefined && memory !== undefined && path === undefined) {
    isVerified = await rereadDamaged(async () => memory.store(BLOBS, await blob.open(), () => digest));
    descriptor = isVerified ? memory.openEntry(BLOBS, digest, size) : undefined;
  }
  if (descriptor === undefined) return undefined;
  const onDamage = (): void => {
    memory?.delete(DIRECTORIES, digest);
    if (path === undefined) memory?.delete(BLOBS, digest);
  };
  const file = new IndexFile({ descriptor, size, name, onDamage });
  const directory = memory?.get(DIRECTORIES, digest);
  const remembered = directory && readDirectory(directory, file, digest);
  if (remembered !== undefined) return remembered;
  if (!isVerified && !isWhole(file, digest)) {
    onDamage();
    return undefined;
  }
  file.isDoubtful = false;
  const index = readIndexText({ name, bytes: file, digest, hint });
  const written = memory && writeDirectory(index, file);
  if (written !== undefined) memory?.set(DIRECTORIES, digest, written);
  return index;
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

function isWhole(file: IndexFile, digest: Digest): boolean {
  const digester = new Digester(algorithmOf(digest));
  const piece = Buffer.allocUnsafe(PIECE);
  for (let from = 0; from < file.size; ) {
    const count = file.readInto(piece, from);
    if (count === 0) return false;
    digester.update(piece.subarray(0, count));
    from += count;
  }
  return digester.digest() === digest;
}
