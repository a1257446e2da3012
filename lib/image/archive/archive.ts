// Produces the tar archive of a prefix as a sequence of pieces, in one pass over the files: read, classified for
// relocation, and hashed. Does not compress, and holds one piece at a time.
import { createHash, type Hash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { fsPath, shownName } from "../../util/byte-string.ts";
import { type Relocatable, writeBuildInfo } from "./build-info-writer.ts";
import type { Classifier } from "./file-kind.ts";
import { type KeptLocation, keptEntries } from "./kept-walk.ts";
import { BUILD_INFO, changed, locate, type SkippedEntry, type WalkEntry, whilePacking } from "./prefix-walk.ts";
import { type RelocationList, relocationList } from "./relocation-list.ts";
import { type StrippedFile, type StripTool, strippedCopy } from "./strip.ts";
import { BLOCK, endOfArchive, padding, type TarEntry, tarHeader } from "./tar-writer.ts";

/** What to archive. Plain data, because it is sent to other threads. */
export interface ArchiveJob extends Relocatable, KeptLocation {
  /** Removes debug sections; the archive is then one to run, which cannot be installed. */
  readonly strip?: StripTool | undefined;
}

/** The result of archiving. */
export interface ArchiveSummary {
  /** The sha256 of the whole archive, in hex digits. */
  readonly sha256: string;
  /** The bytes of all entries, without the end-of-archive blocks. */
  readonly size: number;
  /** The end-of-archive blocks. */
  readonly end: Buffer;
  readonly files: number;
  /** The entries left out; the first 100. */
  readonly skipped: readonly SkippedEntry[];
  /** The files that could not be stripped, below the prefix and safe to print; the first 100. */
  readonly unstripped: readonly string[];
}

const MOST_SKIPPED = 100;
const MOST_UNSTRIPPED = 100;

/**
 * Yields the entries of an archive in pieces and returns its summary. The folders above the prefix are a piece of their
 * own, so that archives can be joined without recompression: a joined one must have each folder once. `allocate`
 * provides the memory of each piece, which the consumer owns; between the first and the last all are full. All calls
 * are synchronous, for use on a thread of its own. Throws SPEC_NOT_INSTALLED, FILE_SYSTEM or CONFLICT.
 */
export function* archivePieces(job: ArchiveJob, allocate: () => Buffer): Generator<Buffer, ArchiveSummary> {
  const writer = new PieceWriter(allocate);
  const list = relocationList(job);
  const linkNames = new Map<string, string>();
  const skipped: SkippedEntry[] = [];
  const unstripped: string[] = [];
  let files = 0;
  for (const entry of keptEntries(job, (left) => skipped.length < MOST_SKIPPED && skipped.push(left))) {
    if (entry.type === "file") {
      files++;
      const isStripped = yield* fileEntry(entry, writer, { list, linkNames, strip: job.strip });
      if (!isStripped && unstripped.length < MOST_UNSTRIPPED) unstripped.push(shownName(entry.relative ?? ""));
      continue;
    }
    if (entry.relative === "") yield* writer.flush();
    if (entry.type === "symlink") list.symlink(entry.relative ?? "", entry.target);
    yield* writer.write(tarHeader({ ...NO_FILE, type: entry.type, name: entry.name, linkName: entry.target }));
  }
  if (job.omit === undefined) yield* buildInfo(job, list, writer);
  yield* writer.flush();
  const end = endOfArchive(writer.size);
  const sha256 = writer.hash.update(end).digest("hex");
  return { sha256, size: writer.size, end, files, skipped, unstripped };
}

function* buildInfo(job: ArchiveJob, list: RelocationList, writer: PieceWriter): Generator<Buffer, void> {
  const info = writeBuildInfo(job, list.end());
  const name = `${locate(job).name}/${BUILD_INFO}`;
  yield* writer.write(tarHeader({ ...NO_FILE, type: "file", name, size: info.length }));
  yield* writer.write(info);
  yield* writer.write(ZEROS.subarray(0, padding(info.length, BLOCK)));
}

const NO_FILE: Omit<TarEntry, "type" | "name"> = { linkName: "", executable: false, size: 0 };
const ZEROS = Buffer.alloc(BLOCK);

// Fills pieces and hashes each when it is full.
class PieceWriter {
  readonly hash: Hash = createHash("sha256");
  size = 0;
  readonly #allocate: () => Buffer;
  // Undefined between a full piece and the bytes after it.
  #piece: Buffer | undefined;
  #used = 0;

  constructor(allocate: () => Buffer) {
    this.#allocate = allocate;
  }

  *write(bytes: Buffer): Generator<Buffer, void> {
    let at = 0;
    while (at < bytes.length) {
      const count = bytes.copy(this.#room(), 0, at);
      at += count;
      yield* this.#advance(count);
    }
  }

  /**
   * Lets `fill` write up to `wanted` bytes directly into the piece, and passes them to `onBytes`. Returns the number of
   * bytes, 0 at the end of the input.
   */
  *fill(wanted: number, fill: (target: Buffer) => number, onBytes: (bytes: Buffer) => void): Generator<Buffer, number> {
    const target = this.#room().subarray(0, wanted);
    const count = fill(target);
    if (count > 0) {
      onBytes(target.subarray(0, count));
      yield* this.#advance(count);
    }
    return count;
  }

  *flush(): Generator<Buffer, void> {
    if (this.#piece === undefined) return;
    const full = this.#piece.subarray(0, this.#used);
    this.hash.update(full);
    this.size += this.#used;
    this.#used = 0;
    this.#piece = undefined;
    yield full;
  }

  #room(): Buffer {
    this.#piece ??= this.#allocate();
    return this.#piece.subarray(this.#used);
  }

  *#advance(count: number): Generator<Buffer, void> {
    this.#used += count;
    if (this.#used === this.#piece?.length) yield* this.flush();
  }
}

interface FileRun {
  readonly list: RelocationList;
  /** The first name of each file that has several. */
  readonly linkNames: Map<string, string>;
  readonly strip: StripTool | undefined;
}

// Returns false if debug sections could not be removed.
function* fileEntry(
  entry: WalkEntry,
  writer: PieceWriter,
  { list, linkNames, strip }: FileRun,
): Generator<Buffer, boolean> {
  const relative = entry.relative ?? "";
  const file = open(entry);
  let copy: StrippedFile | undefined;
  try {
    const { nlink, mode, size } = file.stats;
    const executable = (mode & 0o100) !== 0;
    const inode = nlink > 1 ? inodeOf(file.fd) : undefined;
    const first = inode === undefined ? undefined : linkNames.get(inode);
    if (inode !== undefined && first !== undefined) {
      list.hardLink(relative, inode);
      yield* writer.write(tarHeader({ ...NO_FILE, type: "hardlink", name: entry.name, linkName: first, executable }));
      return true;
    }
    if (inode !== undefined) linkNames.set(inode, entry.name);
    // Files of debug symbols have nothing else.
    const made = strip && !relative.endsWith(".debug") ? stripped(entry, file, strip) : undefined;
    copy = made === "whole" ? undefined : made;
    const content = copy ?? { fd: file.fd, size };
    yield* writer.write(tarHeader({ ...NO_FILE, type: "file", name: entry.name, executable, size: content.size }));
    const classifier = list.classifier(relative);
    yield* contents(entry, content, writer, classifier);
    checkUnchanged(entry, file);
    list.file(relative, inode, classifier?.end() ?? "none");
    return made !== "whole";
  } finally {
    closeSync(file.fd);
    if (copy !== undefined) closeSync(copy.fd);
  }
}

function stripped(entry: WalkEntry, { fd, stats }: OpenFile, tool: StripTool): ReturnType<typeof strippedCopy> {
  try {
    return strippedCopy(fd, stats.size, tool);
  } catch (cause) {
    throw whilePacking(cause, "strip", entry.path);
  }
}

interface OpenFile {
  readonly fd: number;
  readonly stats: Stats;
}

function open(entry: WalkEntry): OpenFile {
  let fd: number | undefined;
  try {
    // A link, FIFO or device that replaced the file must be neither followed nor waited for.
    fd = openSync(fsPath(entry.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (stats.isFile()) return { fd, stats };
  } catch (cause) {
    if (fd !== undefined) closeSync(fd);
    throw whilePacking(cause, "read", entry.path);
  }
  closeSync(fd);
  throw changed(shownName(entry.path), "it is no longer a file");
}

// As BigInt, because inode numbers of some file systems do not fit into a double.
function inodeOf(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

function* contents(
  entry: WalkEntry,
  { fd, size }: { readonly fd: number; readonly size: number },
  writer: PieceWriter,
  classifier: Classifier | undefined,
): Generator<Buffer, void> {
  let left = size;
  while (left > 0) {
    const count = yield* writer.fill(
      left,
      (target) => read(fd, target, entry),
      (bytes) => classifier?.add(bytes),
    );
    if (count === 0) throw changed(shownName(entry.path), `it has ${size - left} bytes, expected ${size}`);
    left -= count;
  }
  yield* writer.write(ZEROS.subarray(0, padding(size, BLOCK)));
}

function checkUnchanged(entry: WalkEntry, { fd, stats }: OpenFile): void {
  const now = fstatSync(fd);
  if (now.size !== stats.size) throw changed(shownName(entry.path), `it has ${now.size} bytes, expected ${stats.size}`);
  if (now.mtimeMs !== stats.mtimeMs) throw changed(shownName(entry.path), "it was written to");
}

function read(fd: number, target: Buffer, entry: WalkEntry): number {
  try {
    return readSync(fd, target, 0, target.length, null);
  } catch (cause) {
    throw whilePacking(cause, "read", entry.path);
  }
}
