// Layers of a tagged image as eStargz: made from the layers that the target has, and pushed beside them.
import { Readable } from "node:stream";
import type { ImageLayer } from "../../image/image-documents.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import { type EstargzSummary, EstargzWriter, TOC_DIGEST, UNCOMPRESSED_SIZE } from "../../image/pack/estargz.ts";
import type { LayerMemory, LazyLayer } from "../../image/pack/layer-memory.ts";
import { rereadDamaged } from "../../target/refetch.ts";
import type { PushOutcome, Target } from "../../target/target.ts";
import { Decompressor } from "../../util/decompress.ts";
import { mapLimit } from "../../util/limit.ts";
import type { ProgressSink } from "../../util/progress.ts";

/** How many layers are made at once: each is compressed on this thread. */
const CONCURRENCY = 2;

/** What making them needs. */
export interface LazyLayerOptions {
  readonly target: Target;
  readonly compression: Compression;
  readonly memory: LayerMemory | undefined;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** Called with the outcome for each layer, and the bytes sent. */
  onLayer(outcome: PushOutcome, sent: number): void;
}

/** The layers with the same files, each of which can be fetched on its own; they are in the target then. */
export async function lazyLayers(layers: readonly ImageLayer[], options: LazyLayerOptions): Promise<ImageLayer[]> {
  return await mapLimit(layers, CONCURRENCY, (layer) => lazyLayer(layer, options), options.signal);
}

async function lazyLayer(layer: ImageLayer, options: LazyLayerOptions): Promise<ImageLayer> {
  const { target, compression, memory, progress, signal, onLayer } = options;
  const { digest, size, label } = layer;
  const id = `estargz ${digest}`;
  progress({ type: "queued", id, size });
  progress({ type: "start", id, label: `eStargz of ${label.split(" ").length} specs`, size });
  const known = memory?.recallLazy(digest);
  const mediaType = layerMediaType(compression);
  let made: LazyLayer | undefined;
  let sent = 0;
  try {
    if (known !== undefined && (await target.hasBlob({ ...known, mediaType }, { signal }))) made = known;
    else {
      made = await rereadDamaged(async () => {
        sent = 0;
        const onBytes = (count: number): void => {
          sent += count;
        };
        let summary: EstargzSummary | undefined;
        const stream = Readable.from(
          written(layer, options, (found) => {
            summary = found;
          }),
          { objectMode: false },
        );
        let cause: unknown;
        stream.once("error", (error) => {
          cause = error;
        });
        const pushed = await target.pushStream(stream, mediaType, { signal, onBytes }).catch((error: unknown) => {
          throw cause ?? error;
        });
        if (summary === undefined) throw new Error("a layer was pushed before its end");
        return { digest: pushed.digest, size: pushed.size, ...summary };
      });
      memory?.rememberLazy(digest, made);
    }
    onLayer(sent > 0 ? "pushed" : "present", sent);
    progress({ type: "done", id, label: "eStargz", outcome: sent > 0 ? "copied" : "skipped", size });
  } catch (error) {
    progress({ type: "done", id, label: "eStargz", outcome: "failed", size });
    throw error;
  }
  const annotations = { [TOC_DIGEST]: made.tocDigest, [UNCOMPRESSED_SIZE]: String(made.archiveSize) };
  return { ...layer, mediaType, digest: made.digest, size: made.size, diffId: made.diffId, annotations };
}

async function* written(
  { mediaType, digest, size }: ImageLayer,
  { target, compression, signal }: LazyLayerOptions,
  onEnd: (summary: EstargzSummary) => void,
): AsyncGenerator<Buffer> {
  const writer = new EstargzWriter(compression, digest);
  let out: Buffer[] = [];
  const method = mediaType.endsWith("zstd") ? "zstd" : "gzip";
  using decompressor = new Decompressor(method, (bytes) => void out.push(...writer.push(bytes)), digest);
  const blob = await target.fetchBlob({ mediaType, digest, size }, { signal });
  try {
    for await (const chunk of blob as AsyncIterable<Buffer>) {
      await decompressor.write(chunk);
      yield* out;
      out = [];
    }
    await decompressor.end();
  } finally {
    blob.destroy();
  }
  yield* out;
  const { bytes, summary } = writer.end();
  yield* bytes;
  onEnd(summary);
}
