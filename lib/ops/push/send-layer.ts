// Sends one layer from a prefix to a target: a remembered layer is only looked up, any other is packed while it is
// sent.
import { finished } from "node:stream/promises";
import { isStaveError, type StaveError } from "../../errors.ts";
import type { ArchiveJob } from "../../image/archive/archive.ts";
import { relocatable } from "../../image/archive/build-info-writer.ts";
import type { SkippedEntry } from "../../image/archive/prefix-walk.ts";
import type { StripTool } from "../../image/archive/strip.ts";
import type { Survey } from "../../image/archive/survey.ts";
import type { ContentKind } from "../../image/content-kind.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import { layerSource, type PackedLayer, packLayer } from "../../image/pack/layer.ts";
import type { LayerMemory, RememberedLayer } from "../../image/pack/layer-memory.ts";
import type { PackPool } from "../../image/pack/pack-pool.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Store } from "../../spack/store/store.ts";
import type { BlobPusher, PushOutcome } from "../../target/target.ts";
import { joinAndRelease } from "../../util/free-chunks.ts";
import { Limit } from "../../util/limit.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { bytesSource, type Source } from "../../util/stream.ts";
import type { Clock } from "../../util/time.ts";
import type { LayerShelf } from "./layer-shelf.ts";
import { Surveyor } from "./surveyor.ts";

/** Prefixes up to this size, in bytes, are packed into memory and sent in parallel, however few threads pack. */
const SMALL = 8 * 1024 * 1024;
/** The archives of prefixes up to this size, in bytes, are kept to be joined with others. */
const KEPT = 512 * 1024;
/** How many bytes these prefixes may have together; their layers are smaller. */
const SPOOL = 48 * 1024 * 1024;
/** How many of these layers may be in memory, however small they are. */
const MOST_SPOOLED = 24;
/** Layers up to this size, in bytes, are sent without a HEAD request: the request would take as long. */
const UNASKED = 256 * 1024;

/** The collaborators of a LayerSender. */
export interface LayerSenderOptions {
  readonly store: Store;
  readonly target: BlobPusher;
  readonly pool: PackPool;
  readonly compression: Compression;
  readonly spackPrefix: string | undefined;
  readonly memory: LayerMemory | undefined;
  readonly clock: Clock;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** How many layers may be packed at once. */
  readonly packing: number;
  /** Specs that the cache has are packed again, so that layers are probably there. */
  readonly force: boolean;
  /** The cache had no tags, so layers that were just packed are sent without asking whether they are there. */
  readonly isNewCache?: boolean | undefined;
  /** Where small layers are kept to be joined with others; undefined if none will be. */
  readonly shelf?: LayerShelf | undefined;
}

/** A layer that is now in the target. */
export interface SentLayer extends Pick<PackedLayer, "digest" | "size" | "diffId" | "archiveSize" | "unstripped"> {
  readonly outcome: PushOutcome;
  /** The bytes actually sent. */
  readonly sent: number;
  /** The bytes read and compressed: 0 if the layer was remembered and present. */
  readonly packed: number;
  readonly skipped: readonly SkippedEntry[];
}

/** What the layer of a spec in a tagged image is without. */
export interface LayerCuts {
  /** Kinds of files. */
  readonly omit: readonly ContentKind[];
  /** Removes debug sections. */
  readonly strip?: StripTool | undefined;
}

/** The archive job of an installed spec, whole or with cuts. */
export function archiveJob(
  node: SpecNode,
  store: Store,
  spackPrefix: string | undefined,
  cuts?: LayerCuts,
): ArchiveJob {
  const job = relocatable(node, {
    root: store.root,
    prefixOf: (other) => store.prefixOf(other),
    spackPrefix,
    legacy: node.format < 5,
  });
  return { ...job, directory: store.locate(job.prefix), ...cuts };
}

function idOf(node: SpecNode, { omit }: Pick<ArchiveJob, "omit">): string {
  return omit === undefined ? node.hash : `${node.hash} slim`;
}

/** Sends layers to a target. */
export class LayerSender {
  readonly #options: LayerSenderOptions;
  readonly #surveyor: Surveyor;
  /** Undefined once the layer was sent: thousands of specs stay here until the end. */
  readonly #surveys = new Map<string, Promise<Survey> | undefined>();
  readonly #packing: Limit;
  readonly #spool = new Limit(SPOOL);

  constructor(options: LayerSenderOptions) {
    this.#options = options;
    this.#surveyor = new Surveyor(options.pool, options.clock);
    this.#packing = new Limit(options.packing);
  }

  /** Surveys prefixes before they are sent, so that progress knows the total early. `send` throws what fails here. */
  async survey(nodes: readonly SpecNode[]): Promise<void> {
    for (const node of nodes) {
      if (this.#options.signal.aborted) return;
      if (!this.#surveys.has(idOf(node, {}))) await this.#survey(node, undefined).catch(() => {});
    }
  }

  async #survey(node: SpecNode, cuts: LayerCuts | undefined): Promise<Survey> {
    const id = idOf(node, cuts ?? {});
    const known = this.#surveys.get(id);
    if (known !== undefined) return await known;
    const survey = this.#surveyNow(node, cuts);
    this.#surveys.set(id, survey);
    return await survey;
  }

  async #surveyNow(node: SpecNode, cuts: LayerCuts | undefined): Promise<Survey> {
    const { progress, signal } = this.#options;
    const survey = await this.#surveyor.survey(() => this.#job(node, cuts), signal);
    progress({ type: "queued", id: idOf(node, cuts ?? {}), size: survey.bytes });
    return survey;
  }

  #job(node: SpecNode, cuts: LayerCuts | undefined): ArchiveJob {
    const { store, spackPrefix } = this.#options;
    return archiveJob(node, store, spackPrefix, cuts);
  }

  /**
   * Sends the layer of one spec, with cuts if it is for a slim image. Waits for its turn. Throws as
   * packing does, and what the target throws.
   */
  async send(node: SpecNode, cuts?: LayerCuts): Promise<SentLayer & { readonly milliseconds: number }> {
    const { memory, progress, clock, signal } = this.#options;
    const survey = await this.#survey(node, cuts);
    const isSmall = survey.bytes <= SMALL;
    const id = idOf(node, cuts ?? {});
    const label = cuts === undefined ? shortName(node) : `slim ${shortName(node)}`;
    let started: number | undefined;
    const start = (): void => {
      if (started === undefined) progress({ type: "start", id, label, size: survey.bytes });
      started ??= clock.now();
    };
    const done = (outcome: "copied" | "mounted" | "skipped" | "failed"): void =>
      progress({ type: "done", id, label, outcome, size: survey.bytes, isTold: true });
    const bring = async (): Promise<SentLayer> => {
      // Made again: it names all dependencies, and hundreds of specs wait for their turn.
      const job = this.#job(node, cuts);
      const known = memory?.recall(job, survey);
      if (known !== undefined) {
        const sent = await this.#sendKnown(job, known, start);
        if (sent !== undefined) return sent;
      }
      if (isSmall) return await this.#sendSmall(node, job, survey, start);
      const pack = (): Promise<SentLayer> => {
        start();
        return this.#sendPacked(node, job, survey);
      };
      return await this.#packing.run(pack, { signal });
    };
    try {
      // A small layer is in memory from packing to the end of its upload.
      const weight = Math.max(survey.bytes, SPOOL / MOST_SPOOLED);
      const sent = isSmall ? await this.#spool.run(bring, { signal, weight }) : await bring();
      done(({ pushed: "copied", mounted: "mounted", present: "skipped" } as const)[sent.outcome]);
      return { ...sent, milliseconds: clock.now() - (started ?? clock.now()) };
    } catch (error) {
      if (started !== undefined) done("failed");
      throw error;
    } finally {
      this.#surveys.set(id, undefined);
    }
  }

  // Undefined if the prefix now gives a different layer.
  async #sendKnown(job: ArchiveJob, known: RememberedLayer, start: () => void): Promise<SentLayer | undefined> {
    const { target, pool, compression, memory, signal } = this.#options;
    const { digest, size, diffId, archiveSize } = known;
    const blob = { mediaType: layerMediaType(compression), digest, size };
    let sent = 0;
    const onBytes = (count: number): void => {
      sent += count;
    };
    const packed = layerSource(pool, job, compression, known, { isSlow: this.#surveyor.isSlow });
    // The layer is packed only if it is missing.
    const source: Source = {
      size,
      open: async (offset) => {
        const release = await this.#packing.acquire({ signal });
        try {
          const stream = await packed.open(offset);
          return stream.once("close", release);
        } catch (error) {
          release();
          throw error;
        }
      },
    };
    try {
      start();
      // Asked for even in a cache without tags: an interrupted run may have sent it.
      const outcome = await target.pushBlob(blob, source, { signal, onBytes });
      const read = outcome === "pushed" ? archiveSize : 0;
      return { digest, size, diffId, archiveSize, outcome, sent, packed: read, skipped: [], unstripped: [] };
    } catch (error) {
      if (!isStaveError(error, "CONFLICT")) throw error;
      memory?.forget(job);
      return undefined;
    }
  }

  async #sendSmall(node: SpecNode, job: ArchiveJob, survey: Survey, start: () => void): Promise<SentLayer> {
    const { target, pool, compression, memory, clock, progress, signal, force, isNewCache, shelf } = this.#options;
    const at = clock.now();
    const keepsArchive = shelf !== undefined && survey.bytes <= KEPT;
    const { layer, bytes } = await this.#packing.run(
      async () => {
        start();
        const stream = packLayer(pool, job, compression, { survey, isSlow: this.#surveyor.isSlow, keepsArchive });
        const chunks: Buffer[] = [];
        for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
        signal.throwIfAborted();
        const { layer } = stream;
        const bytes = joinAndRelease(chunks);
        shelf?.put(layer.digest, bytes, keepsArchive ? stream.takeArchive() : undefined);
        return { layer, bytes };
      },
      { signal },
    );
    memory?.remember(job, survey, layer, at);
    progress({ type: "bytes", id: idOf(node, job), count: survey.bytes });
    const { digest, size, diffId, archiveSize, skipped, unstripped } = layer;
    const blob = { mediaType: layerMediaType(compression), digest, size };
    let sent = 0;
    const onBytes = (count: number): void => {
      sent += count;
    };
    const isNew = isNewCache === true || (!force && size <= UNASKED);
    const source = { ...bytesSource(bytes), isVerified: true };
    const outcome = await target.pushBlob(blob, source, { signal, onBytes, isNew });
    return { digest, size, diffId, archiveSize, outcome, sent, packed: archiveSize, skipped, unstripped };
  }

  async #sendPacked(node: SpecNode, job: ArchiveJob, survey: Survey): Promise<SentLayer> {
    const { target, pool, compression, memory, clock, progress, signal, isNewCache: isNew } = this.#options;
    const at = clock.now();
    // Reports are in whole pieces and include archive headers; progress counts file bytes.
    let left = survey.bytes;
    const onPacked = (bytes: number): void => {
      const count = Math.min(bytes, left);
      left -= count;
      progress({ type: "bytes", id: idOf(node, job), count });
    };
    const stream = packLayer(pool, job, compression, { onPacked, lends: true, survey });
    // An error while the stream is read is a packing error, not the registry's.
    let broken: StaveError | undefined;
    stream.once("error", (error) => {
      if (isStaveError(error)) broken = error;
    });
    let sent = 0;
    const onBytes = (count: number): void => {
      sent += count;
    };
    // Called after the last byte and before the commit, so that even if that fails, the next run can look up the layer.
    const digest = (): PackedLayer["digest"] => {
      memory?.remember(job, survey, stream.layer, at);
      return stream.layer.digest;
    };
    try {
      const recycle = (chunk: Uint8Array): void => stream.recycle(chunk);
      await target.pushStream(stream, layerMediaType(compression), { digest, onBytes, recycle, signal, isNew });
    } catch (error) {
      throw broken ?? error;
    } finally {
      stream.destroy();
      await finished(stream).catch(() => {});
      stream.recycleAll();
    }
    const { layer } = stream;
    const { size, diffId, archiveSize, skipped, unstripped } = layer;
    // A layer of one chunk is looked up before it is sent.
    const outcome = sent > 0 ? "pushed" : "present";
    return { digest: layer.digest, size, diffId, archiveSize, outcome, sent, packed: archiveSize, skipped, unstripped };
  }
}
