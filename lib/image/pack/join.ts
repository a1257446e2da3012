// Joins layers into one without compressing their contents again. The folders above the prefixes come first and once,
// since containers/storage refuses a layer that has a name twice; then the entries of each layer; then one end.
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { type Digest, Digester } from "../../oci/digest.ts";
import { layerTypeIn, OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../oci/mediatype.ts";
import { type CompressionMethod, Decompressor, gunzip } from "../../util/decompress.ts";
import { mapLimit } from "../../util/limit.ts";
import { type TarFolder, TarSplitter } from "../archive/tar-splitter.ts";
import { endOfArchive } from "../archive/tar-writer.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import { LayerCutter, type LayerStart, NotDivided, StartFinder } from "./layer-cutter.ts";

/** A layer to join. */
export interface JoinSource {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Its length in bytes. */
  readonly size: number;
  /** Its bytes, or a stream of them that must fail at its end unless they are correct. */
  open(): Promise<Buffer | Readable>;
  /** The first `length` bytes, or more; they need not be verified. */
  start(length: number): Promise<Buffer>;
  /** Its uncompressed archive, if that is at hand. */
  archive?(): Buffer | undefined;
}

/** What is learned about the archive of a joined layer. */
export interface JoinedArchive {
  readonly diffId: Digest;
  /** The bytes of all entries, without the end of the archive. */
  readonly entriesSize: number;
}

/** How to join layers. */
export interface JoinOptions {
  readonly compression: Compression;
  /** The archive, if the same layers were joined before: nothing is decompressed then. */
  readonly known?: JoinedArchive | undefined;
  /** Layers that stave did not divide: they are compressed again. Those that are found are added. */
  readonly undivided: Set<Digest>;
}

/** How many layers are opened at once to read their beginnings. */
const CONCURRENCY = 8;
/** The folders above a prefix fit into this many bytes, compressed. */
const START = 16 * 1024;
/** Up to this size, in bytes, they are decompressed at once. */
const SMALL_ARCHIVE = 32 * 1024 * 1024;

/** A layer turned out not to be divided by stave; `undivided` has it now, and joining must start again. */
export class JoinAgain extends Error {}

/**
 * Yields the bytes of the joined layer and returns its archive. Throws JoinAgain, CONTENT_INVALID if a layer is not a
 * tar archive, and what opening and reading the layers throws.
 */
export async function* joinLayers(
  sources: readonly JoinSource[],
  options: JoinOptions,
): AsyncGenerator<Buffer, JoinedArchive> {
  const { compression, known } = options;
  const folders = new Map<string, TarFolder>();
  const starts = await mapLimit(sources, CONCURRENCY, (source) => readFolders(source, options));
  for (const folder of starts.flatMap(({ folders }) => folders))
    if (!folders.has(folder.name)) folders.set(folder.name, folder);
  const head = Buffer.concat([...folders.values()].map(({ bytes }) => bytes));
  const digester = new Digester().update(head);
  if (head.length > 0) yield* compressed(compression, head);
  for (const [at, source] of sources.entries()) {
    const start = starts[at] ?? { folders: [] };
    if (isUndivided(source, options)) yield* compressAgain(source, options, start.folders, digester);
    else yield* passOn(source, options, start, digester);
  }
  const entriesSize = known?.entriesSize ?? digester.size;
  const end = endOfArchive(entriesSize);
  yield* compressed(compression, end);
  return known ?? { diffId: digester.update(end).digest(), entriesSize };
}

function isUndivided({ digest, mediaType }: JoinSource, { compression, undivided }: JoinOptions): boolean {
  return undivided.has(digest) || methodOf(mediaType) !== compression.method;
}

function methodOf(mediaType: string): CompressionMethod {
  const type = layerTypeIn("oci", mediaType);
  if (type === OCI_LAYER_GZIP) return "gzip";
  if (type === OCI_LAYER_ZSTD) return "zstd";
  throw new StaveError("UNSUPPORTED", `a layer of type ${mediaType} cannot be joined with others`, {
    hint: "use a higher `budget`, or push its spec again with `force`",
  });
}

// Compressed pieces may be views of memory that is used again.
function compressed(compression: Compression, bytes: Buffer): Buffer[] {
  return compressPiece(compression, bytes).map((part) => Buffer.from(part));
}

function chunksOf(opened: Buffer | Readable): Iterable<Buffer> | AsyncIterable<Buffer> {
  return Buffer.isBuffer(opened) ? [opened] : opened;
}

function close(opened: Buffer | Readable): void {
  if (!Buffer.isBuffer(opened)) opened.destroy();
}

// The folders to put first, from the beginning of a layer, and where that ends if stave divided it.
interface Beginning {
  readonly folders: readonly TarFolder[];
  readonly member?: LayerStart | undefined;
}

async function readFolders(source: JoinSource, options: JoinOptions): Promise<Beginning> {
  if (!isUndivided(source, options)) {
    const bytes = await source.start(START);
    const isWhole = bytes.length >= source.size;
    const finder = new StartFinder(options.compression.method);
    const start = find(() => finder.push(bytes, isWhole)) ?? (await findInStream(source, options));
    // What is only a part is not verified; joining finds the start again.
    if (start !== "not divided") return { folders: start.folders, member: isWhole ? start : undefined };
    options.undivided.add(source.digest);
  }
  return { folders: await decompressFolders(source) };
}

// Layers of earlier versions have entries in their first member.
async function findInStream(source: JoinSource, { compression }: JoinOptions): Promise<LayerStart | "not divided"> {
  const finder = new StartFinder(compression.method);
  const opened = await source.open();
  try {
    for await (const chunk of chunksOf(opened)) {
      const start = find(() => finder.push(chunk));
      if (start !== undefined) return start;
    }
  } finally {
    close(opened);
  }
  return "not divided";
}

async function decompressFolders(source: JoinSource): Promise<readonly TarFolder[]> {
  const splitter = new TarSplitter(() => {}, source.digest);
  const opened = await source.open();
  using decompressor = new Decompressor(methodOf(source.mediaType), (bytes) => splitter.push(bytes), source.digest);
  try {
    for await (const chunk of chunksOf(opened)) {
      await decompressor.write(chunk);
      if (splitter.areFoldersDone) break;
    }
  } finally {
    close(opened);
  }
  return splitter.folders;
}

function find<T>(work: () => T): T | "not divided" {
  try {
    return work();
  } catch (error) {
    if (error instanceof NotDivided) return "not divided";
    throw error;
  }
}

// The entries of a layer as they are, and for the digest of the archive also decompressed.
async function* passOn(
  source: JoinSource,
  { compression, known, undivided }: JoinOptions,
  start: Beginning,
  digester: Digester,
): AsyncGenerator<Buffer> {
  const cutter = new LayerCutter(compression, start.member);
  const reader = known === undefined ? new EntryReader(source, start.folders, digester) : undefined;
  const again = (): JoinAgain => {
    undivided.add(source.digest);
    return new JoinAgain(`${source.digest} must be compressed again`);
  };
  const opened = await source.open();
  try {
    for await (const chunk of chunksOf(opened)) {
      const parts = find(() => cutter.push(chunk));
      if (parts === "not divided") throw again();
      await reader?.read(chunk, Buffer.isBuffer(opened));
      yield* parts;
    }
    const parts = find(() => cutter.end());
    if (parts === "not divided") throw again();
    yield* parts;
    // The end must have begun with the last member.
    if (reader !== undefined && (await reader.end()) !== cutter.endSize) throw again();
  } finally {
    reader?.close();
    close(opened);
  }
}

// Decompresses a layer and adds its entries to a digest.
class EntryReader {
  readonly #source: JoinSource;
  readonly #start: readonly TarFolder[];
  readonly #splitter: TarSplitter;
  #decompressor: Decompressor | undefined;
  #size = 0;
  #entries = 0;

  constructor(source: JoinSource, start: readonly TarFolder[], digester: Digester) {
    this.#source = source;
    this.#start = start;
    const take = (bytes: Buffer): void => {
      digester.update(bytes);
      this.#entries += bytes.length;
    };
    this.#splitter = new TarSplitter(take, source.digest, start.length);
  }

  async read(chunk: Buffer, isWhole: boolean): Promise<void> {
    const { mediaType, digest } = this.#source;
    const method = methodOf(mediaType);
    // A decoder costs more than a small layer takes.
    const gunzipped = (): Buffer | undefined => (method === "gzip" ? gunzipSmall(chunk, digest) : undefined);
    const archive = isWhole ? (this.#source.archive?.() ?? gunzipped()) : undefined;
    if (archive !== undefined) return this.#take(archive);
    this.#decompressor ??= new Decompressor(method, (bytes) => this.#take(bytes), digest);
    await this.#decompressor.write(chunk);
  }

  /** Checks the archive, and returns the size of its end. Throws CONTENT_INVALID. */
  async end(): Promise<number> {
    await this.#decompressor?.end();
    check(this.#splitter, this.#source, this.#start);
    return this.#size - this.#splitter.folderBytes - this.#entries;
  }

  close(): void {
    this.#decompressor?.[Symbol.dispose]();
  }

  #take(bytes: Buffer): void {
    this.#size += bytes.length;
    this.#splitter.push(bytes);
  }
}

// Undefined if the archive is not small, or the layer is not what it should be, which streaming it reports.
function gunzipSmall(bytes: Buffer, digest: Digest): Buffer | undefined {
  try {
    return gunzip(bytes, SMALL_ARCHIVE, digest);
  } catch {
    return undefined;
  }
}

async function* compressAgain(
  source: JoinSource,
  { compression, known }: JoinOptions,
  start: readonly TarFolder[],
  digester: Digester,
): AsyncGenerator<Buffer> {
  const size = pieceSizeOf(compression);
  let parts: Buffer[] = [];
  let waiting = 0;
  const splitter = new TarSplitter((bytes) => {
    if (known === undefined) digester.update(bytes);
    // The bytes are valid during the call only.
    parts.push(Buffer.from(bytes));
    waiting += bytes.length;
  }, source.digest);
  const opened = await source.open();
  using decompressor = new Decompressor(methodOf(source.mediaType), (bytes) => splitter.push(bytes), source.digest);
  const pieces = function* (isLast: boolean): Generator<Buffer> {
    if (waiting < size && !isLast) return;
    const all = Buffer.concat(parts);
    let at = 0;
    for (; at < all.length && (isLast || at + size <= all.length); at += size)
      yield* compressed(compression, all.subarray(at, at + size));
    parts = at < all.length ? [all.subarray(at)] : [];
    waiting = Math.max(0, all.length - at);
  };
  try {
    for await (const chunk of chunksOf(opened)) {
      await decompressor.write(chunk);
      yield* pieces(false);
    }
    await decompressor.end();
    yield* pieces(true);
  } finally {
    close(opened);
  }
  check(splitter, source, start);
}

function check(splitter: TarSplitter, { digest }: JoinSource, start: readonly TarFolder[]): void {
  // The folders were read before the layer was verified.
  const isSame =
    splitter.folders.length === start.length &&
    start.every(({ bytes }, at) => splitter.folders[at]?.bytes.equals(bytes));
  if (splitter.hasEnded && isSame) return;
  throw new StaveError("CONTENT_INVALID", `the layer ${digest} is not a whole tar archive`, {
    subject: digest,
    hint: "push its spec again with `force`",
  });
}
