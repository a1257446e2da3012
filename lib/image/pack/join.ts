// Joins layers into one without compressing their contents again. The folders above the prefixes come first and once,
// since containers/storage refuses a layer that has a name twice; then the entries of each layer; then one end.
import type { Readable } from "node:stream";
import { StaveError } from "../../errors.ts";
import { type Digest, Digester } from "../../oci/digest.ts";
import { layerTypeIn, OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../oci/mediatype.ts";
import { type CompressionMethod, Decompressor } from "../../util/decompress.ts";
import { mapLimit } from "../../util/limit.ts";
import { type TarFolder, TarSplitter } from "../archive/tar-splitter.ts";
import { endOfArchive } from "../archive/tar-writer.ts";
import { type Compression, compressPiece, pieceSizeOf } from "./compression.ts";
import { LayerCutter, NotDivided, StartFinder } from "./layer-cutter.ts";

/** A layer to join. */
export interface JoinSource {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Opens its bytes; the stream must fail at its end unless they are correct. */
  open(): Promise<Readable>;
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
  for (const folder of starts.flat()) if (!folders.has(folder.name)) folders.set(folder.name, folder);
  const head = Buffer.concat([...folders.values()].map(({ bytes }) => bytes));
  const digester = new Digester().update(head);
  if (head.length > 0) yield* compressed(compression, head);
  for (const [at, source] of sources.entries()) {
    const start = starts[at] ?? [];
    if (isUndivided(source, options)) yield* compressAgain(source, options, start, digester);
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
    hint: "raise the budget with --budget, or push its spec again with --force",
  });
}

// Compressed pieces may be views of memory that is used again.
function compressed(compression: Compression, bytes: Buffer): Buffer[] {
  return compressPiece(compression, bytes).map((part) => Buffer.from(part));
}

// The folders to put first, from the beginning of a layer.
async function readFolders(source: JoinSource, options: JoinOptions): Promise<readonly TarFolder[]> {
  const { compression, undivided } = options;
  const finder = new StartFinder(compression.method);
  const splitter = new TarSplitter(() => {}, source.digest);
  const stream = await source.open();
  using decompressor = new Decompressor(methodOf(source.mediaType), (bytes) => splitter.push(bytes), source.digest);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (!isUndivided(source, options)) {
        const start = find(() => finder.push(chunk));
        if (start === undefined) continue;
        if (start !== "not divided") return start.folders;
        undivided.add(source.digest);
        await decompressor.write(finder.bytes);
      } else await decompressor.write(chunk);
      if (splitter.areFoldersDone) break;
    }
    if (isUndivided(source, options)) return splitter.folders;
    undivided.add(source.digest);
    await decompressor.write(finder.bytes);
    return splitter.folders;
  } finally {
    stream.destroy();
  }
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
  start: readonly TarFolder[],
  digester: Digester,
): AsyncGenerator<Buffer> {
  const cutter = new LayerCutter(compression);
  const before = digester.size;
  const splitter = new TarSplitter((bytes) => digester.update(bytes), source.digest, start.length);
  let size = 0;
  const take = (bytes: Buffer): void => {
    size += bytes.length;
    splitter.push(bytes);
  };
  const again = (): JoinAgain => {
    undivided.add(source.digest);
    return new JoinAgain(`${source.digest} must be compressed again`);
  };
  const stream = await source.open();
  using decompressor = new Decompressor(methodOf(source.mediaType), take, source.digest);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const parts = find(() => cutter.push(chunk));
      if (parts === "not divided") throw again();
      if (known === undefined) await decompressor.write(chunk);
      yield* parts;
    }
    const parts = find(() => cutter.end());
    if (parts === "not divided") throw again();
    yield* parts;
  } finally {
    stream.destroy();
  }
  if (known !== undefined) return;
  await decompressor.end();
  check(splitter, source, start);
  // The end must have begun with the last member.
  if (size !== splitter.folderBytes + (digester.size - before) + cutter.endSize) throw again();
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
  const stream = await source.open();
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
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      await decompressor.write(chunk);
      yield* pieces(false);
    }
    await decompressor.end();
    yield* pieces(true);
  } finally {
    stream.destroy();
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
    hint: "push its spec again with --force",
  });
}
