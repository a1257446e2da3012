// Joins layers that are in a target into one that is pushed to it.
import { pipeline, Readable, Transform } from "node:stream";
import { isStaveError, StaveError } from "../../errors.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import { JoinAgain, type JoinedArchive, type JoinSource, joinLayers } from "../../image/pack/join.ts";
import type { JoinedLayer, LayerMemory } from "../../image/pack/layer-memory.ts";
import { type Digest, Digester } from "../../oci/digest.ts";
import { rereadDamaged } from "../../target/refetch.ts";
import type { PushOutcome, Target } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { readSized, type Source, withoutFirst } from "../../util/stream.ts";
import type { LayerShelf } from "./layer-shelf.ts";

/** Layers up to this size, in bytes, are read as a whole; larger ones are streamed. */
const SMALL = 1024 * 1024;

/** The collaborators of a LayerJoiner. */
export interface LayerJoinerOptions {
  readonly target: Target;
  readonly compression: Compression;
  readonly memory: LayerMemory | undefined;
  readonly shelf: LayerShelf;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** Called with the outcome for each layer, and the bytes sent. */
  onLayer(outcome: PushOutcome, sent: number): void;
}

/** Joins layers of one target. */
export class LayerJoiner {
  readonly #options: LayerJoinerOptions;
  // Layers that stave did not divide.
  readonly #undivided = new Set<Digest>();

  constructor(options: LayerJoinerOptions) {
    this.#options = options;
  }

  /**
   * The layer that holds the specs of all parts, in their order; it is in the target then. Throws CONTENT_INVALID if a
   * part is not a layer, and what the target throws.
   */
  async join(parts: readonly ImageLayer[]): Promise<ImageLayer> {
    const { memory, compression, progress } = this.#options;
    const digests = parts.map(({ digest }) => digest);
    const mediaType = layerMediaType(compression);
    const label = parts.map((part) => part.label).join(" ");
    const id = `joined ${digests.join(" ")}`;
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const name = `${label.split(" ").length} specs in one layer`;
    progress({ type: "queued", id, size });
    progress({ type: "start", id, label: name, size });
    const done = (outcome: "copied" | "mounted" | "skipped" | "failed"): void =>
      progress({ type: "done", id, label: name, outcome, size });
    try {
      const known = memory?.recallJoined(digests);
      const found = known && (await this.#pushKnown(parts, known, id));
      const joined = found ?? (await this.#pushNew(parts, id));
      if (found === undefined) memory?.rememberJoined(digests, joined.layer);
      const { outcome } = joined;
      done(({ pushed: "copied", mounted: "mounted", present: "skipped" } as const)[outcome]);
      const { digest, size: bytes, diffId } = joined.layer;
      return { mediaType, digest, size: bytes, diffId, label };
    } catch (error) {
      done("failed");
      throw error;
    }
  }

  // Undefined if the layer cannot be made again with the digest that is remembered.
  async #pushKnown(
    parts: readonly ImageLayer[],
    known: JoinedLayer,
    id: string,
  ): Promise<{ layer: JoinedLayer; outcome: PushOutcome } | undefined> {
    const { target, compression, memory, signal, onLayer } = this.#options;
    const { digest, size } = known;
    const source: Source = {
      size,
      isVerified: true,
      open: (offset = 0) => {
        const stream = verified(
          this.#stream(parts, known, () => {}),
          digest,
        );
        return offset === 0 ? stream : withoutFirst(stream, offset);
      },
    };
    try {
      const { onBytes, sent } = this.#counter(id);
      const blob = { mediaType: layerMediaType(compression), digest, size };
      const outcome = await target.pushBlob(blob, source, { signal, onBytes });
      onLayer(outcome, sent());
      return { layer: known, outcome };
    } catch (error) {
      if (!isStaveError(error, "CONFLICT")) throw error;
      memory?.forgetJoined(parts.map((part) => part.digest));
      return undefined;
    }
  }

  async #pushNew(parts: readonly ImageLayer[], id: string): Promise<{ layer: JoinedLayer; outcome: PushOutcome }> {
    const { target, compression, signal, onLayer } = this.#options;
    const push = async (): Promise<{ layer: JoinedLayer; outcome: PushOutcome }> => {
      let archive: JoinedArchive | undefined;
      const { onBytes, sent } = this.#counter(id);
      let cause: unknown;
      const stream = this.#stream(parts, undefined, (found) => {
        archive = found;
      });
      stream.once("error", (error) => {
        cause = error;
      });
      const pushed = await target
        .pushStream(stream, layerMediaType(compression), { signal, onBytes })
        .catch((error) => {
          throw cause ?? error;
        });
      if (archive === undefined) throw new StaveError("INTERNAL", "a joined layer was pushed before its end");
      const outcome = sent() > 0 ? "pushed" : "present";
      onLayer(outcome, sent());
      return { layer: { digest: pushed.digest, size: pushed.size, ...archive }, outcome };
    };
    for (;;) {
      try {
        return await rereadDamaged(push);
      } catch (error) {
        if (!(error instanceof JoinAgain)) throw error;
      }
    }
  }

  #stream(
    parts: readonly ImageLayer[],
    known: JoinedArchive | undefined,
    onEnd: (archive: JoinedArchive) => void,
  ): Readable {
    const { compression } = this.#options;
    const sources = parts.map((part) => this.#source(part));
    const undivided = this.#undivided;
    return Readable.from(gathered(joinLayers(sources, { compression, known, undivided }), onEnd), {
      objectMode: false,
    });
  }

  #source({ mediaType, digest, size }: ImageLayer): JoinSource {
    const { target, shelf, signal } = this.#options;
    const layer = { mediaType, digest, size };
    const whole = async (): Promise<Buffer> => {
      const bytes = shelf.get(digest) ?? (await readSized(await target.fetchBlob(layer, { signal }), size, digest));
      shelf.put(digest, bytes);
      return bytes;
    };
    const isWhole = (): boolean => size <= SMALL || shelf.get(digest) !== undefined;
    return {
      ...layer,
      open: async () => (isWhole() ? await whole() : await target.fetchBlob(layer, { signal })),
      // Small layers are read once, for their beginnings and for the rest.
      start: async (length) => (isWhole() ? await whole() : await target.fetchBlobStart(layer, length, { signal })),
      archive: () => shelf.archiveOf(digest),
    };
  }

  #counter(id: string): { onBytes: (count: number) => void; sent: () => number } {
    const { progress } = this.#options;
    let sent = 0;
    const onBytes = (count: number): void => {
      sent += count;
      progress({ type: "bytes", id, count });
    };
    return { onBytes, sent: () => sent };
  }
}

const CHUNK = 64 * 1024;

// Small parts are sent together.
async function* gathered(
  parts: AsyncGenerator<Buffer, JoinedArchive>,
  onEnd: (archive: JoinedArchive) => void,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await parts.next();
      if (done) {
        onEnd(value);
        if (size > 0) yield Buffer.concat(waiting);
        return;
      }
      waiting.push(value);
      size += value.length;
      if (size < CHUNK) continue;
      yield waiting.length === 1 ? value : Buffer.concat(waiting);
      waiting = [];
      size = 0;
    }
  } finally {
    await parts.return(undefined as never);
  }
}

function verified(stream: Readable, digest: Digest): Readable {
  const digester = new Digester();
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      digester.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      const isSame = digester.digest() === digest;
      done(isSame ? null : new StaveError("CONFLICT", `${digest} could not be joined again with the same digest`));
    },
  });
  // An error or the end of either stream ends both.
  pipeline(stream, checked, () => {});
  return checked;
}
