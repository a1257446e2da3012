// Sends one layer from a prefix to a target: a remembered layer is only looked up, any other is packed while it is
// sent.
import { finished } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import { isStaveError, type StaveError } from "../../errors.ts";
import type { ArchiveJob } from "../../image/archive/archive.ts";
import { relocatable } from "../../image/archive/build-info-writer.ts";
import type { SkippedEntry } from "../../image/archive/prefix-walk.ts";
import { type Survey, surveyPrefix } from "../../image/archive/survey.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import { layerSource, type PackedLayer, packLayer } from "../../image/pack/layer.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { PackPool } from "../../image/pack/pack-pool.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Store } from "../../spack/store/store.ts";
import type { PushOutcome, Target } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import type { Clock } from "../../util/time.ts";

/** The collaborators of a LayerSender. */
export interface LayerSenderOptions {
  readonly store: Store;
  readonly target: Target;
  readonly pool: PackPool;
  readonly compression: Compression;
  readonly spackPrefix: string | undefined;
  readonly memory: LayerMemory | undefined;
  readonly clock: Clock;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

/** A layer that is now in the target. */
export interface SentLayer extends Pick<PackedLayer, "digest" | "size" | "diffId" | "archiveSize"> {
  readonly outcome: PushOutcome;
  /** The bytes actually sent. */
  readonly sent: number;
  /** The bytes read and compressed: 0 if the layer was remembered and present. */
  readonly packed: number;
  readonly skipped: readonly SkippedEntry[];
}

/** The archive job of an installed spec. */
export function archiveJob(node: SpecNode, store: Store, spackPrefix: string | undefined): ArchiveJob {
  const job = relocatable(node, {
    root: store.root,
    prefixOf: (other) => store.prefixOf(other),
    spackPrefix,
    legacy: node.format < 5,
  });
  return { ...job, directory: store.locate(job.prefix) };
}

/** Sends layers to a target. */
export class LayerSender {
  readonly #options: LayerSenderOptions;
  readonly #surveys = new Map<string, { readonly job: ArchiveJob; readonly survey: Survey }>();

  constructor(options: LayerSenderOptions) {
    this.#options = options;
  }

  /**
   * Surveys prefixes in advance, so that the total for progress is known; an error is reported when the layer is sent.
   */
  async lookAhead(nodes: Iterable<SpecNode>): Promise<void> {
    for (const node of nodes) {
      if (this.#options.signal.aborted) return;
      try {
        this.#survey(node);
      } catch (error) {
        if (!isStaveError(error)) throw error;
      }
      // Lets sends in progress continue first.
      await setImmediate();
    }
  }

  #survey(node: SpecNode): { readonly job: ArchiveJob; readonly survey: Survey } {
    const known = this.#surveys.get(node.hash);
    if (known !== undefined) return known;
    const { store, spackPrefix, progress } = this.#options;
    const job = archiveJob(node, store, spackPrefix);
    const made = { job, survey: surveyPrefix(job) };
    this.#surveys.set(node.hash, made);
    progress({ type: "queued", id: node.hash, size: made.survey.bytes });
    return made;
  }

  /** Sends the layer of one spec. Throws as packing does, and what the target throws. */
  async send(node: SpecNode): Promise<SentLayer> {
    const { memory, progress } = this.#options;
    const { job, survey } = this.#survey(node);
    const id = node.hash;
    const label = shortName(node);
    progress({ type: "start", id, label, size: survey.bytes });
    const done = (outcome: "copied" | "mounted" | "skipped" | "failed"): void =>
      progress({ type: "done", id, label, outcome, size: survey.bytes, isTold: true });
    try {
      const known = await memory?.recall(job, survey);
      const sent = (known && (await this.#sendKnown(job, known))) ?? (await this.#sendPacked(node, job, survey));
      done(sent.outcome === "pushed" ? "copied" : sent.outcome === "mounted" ? "mounted" : "skipped");
      return sent;
    } catch (error) {
      done("failed");
      throw error;
    }
  }

  // Undefined if the prefix now gives a different layer.
  async #sendKnown(job: ArchiveJob, known: Omit<PackedLayer, "skipped">): Promise<SentLayer | undefined> {
    const { target, pool, compression, memory, signal } = this.#options;
    const { digest, size, diffId, archiveSize } = known;
    const blob = { mediaType: layerMediaType(compression), digest, size };
    let sent = 0;
    const onBytes = (count: number): void => {
      sent += count;
    };
    try {
      const outcome = await target.pushBlob(blob, layerSource(pool, job, compression, known), { signal, onBytes });
      const packed = outcome === "pushed" ? archiveSize : 0;
      return { digest, size, diffId, archiveSize, outcome, sent, packed, skipped: [] };
    } catch (error) {
      if (!isStaveError(error, "CONFLICT")) throw error;
      memory?.forget(job);
      return undefined;
    }
  }

  async #sendPacked(node: SpecNode, job: ArchiveJob, survey: Survey): Promise<SentLayer> {
    const { target, pool, compression, memory, clock, progress, signal } = this.#options;
    const at = clock.now();
    // Reports are in whole pieces and include archive headers; progress counts file bytes.
    let left = survey.bytes;
    const onPacked = (bytes: number): void => {
      const count = Math.min(bytes, left);
      left -= count;
      progress({ type: "bytes", id: node.hash, count });
    };
    const stream = packLayer(pool, job, compression, { onPacked, lends: true });
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
      await target.pushStream(stream, layerMediaType(compression), { digest, onBytes, recycle, signal });
    } catch (error) {
      throw broken ?? error;
    } finally {
      stream.destroy();
      await finished(stream).catch(() => {});
      stream.recycleAll();
    }
    const { layer } = stream;
    const { size, diffId, archiveSize, skipped } = layer;
    // A layer of one chunk is looked up before it is sent.
    const outcome = sent > 0 ? "pushed" : "present";
    return { digest: layer.digest, size, diffId, archiveSize, outcome, sent, packed: archiveSize, skipped };
  }
}
