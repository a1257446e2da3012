// Remembers the layer of each prefix between runs: a push that resumes, or that goes to another registry, can look up a
// layer by its digest instead of packing it again. The same for layers that were joined.
import * as z from "zod";
import { type Digest, digestSchema } from "../../oci/digest.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import type { ArchiveJob } from "../archive/archive.ts";
import type { Survey } from "../archive/survey.ts";
import { type Compression, engineOf, formatCompression } from "./compression.ts";
import type { EstargzSummary } from "./estargz.ts";
import type { JoinedArchive } from "./join.ts";
import type { PackedLayer } from "./layer.ts";

// The kind has a number: layers were divided into pieces in another way before.
const KIND = "layers-2";
/** A file rewritten within one tick of the file system's clock would look unchanged, in milliseconds. */
const SETTLED = 2000;

const JOINED = "joined-layers";
const LAZY = "estargz-layers";

const size = z.number().int().nonnegative();
const joinedSchema = z.object({ digest: digestSchema, size, diffId: digestSchema, entriesSize: size });
const lazySchema = z.object({
  ...{ digest: digestSchema, size, diffId: digestSchema },
  ...{ tocDigest: digestSchema, archiveSize: size },
});
const entrySchema = z.object({
  fingerprint: z.string(),
  layer: z.object({
    digest: digestSchema,
    size,
    diffId: digestSchema,
    archiveSize: size,
    files: size,
  }),
});

/** What is remembered of a layer: everything except the skipped entries and those that could not be stripped. */
export type RememberedLayer = Omit<PackedLayer, "skipped" | "unstripped">;

/** A layer that was joined from others. */
export type JoinedLayer = Pick<PackedLayer, "digest" | "size"> & JoinedArchive;

/** An eStargz layer that was made from another. */
export type LazyLayer = Pick<PackedLayer, "digest" | "size"> & EstargzSummary;

/** The remembered layers of prefixes, and those joined from others, for one compression. */
export class LayerMemory {
  readonly #cache: DiskCache;
  readonly #suffix: string;

  constructor(cache: DiskCache, compression: Compression) {
    this.#cache = cache;
    this.#suffix = `${formatCompression(compression)} ${engineOf(compression)}`;
  }

  /** The layer of a prefix that has not changed since it was packed. */
  recall(job: ArchiveJob, survey: Survey): RememberedLayer | undefined {
    const bytes = this.#cache.get(KIND, this.#key(job));
    if (bytes === undefined) return undefined;
    try {
      const { fingerprint, layer } = entrySchema.parse(JSON.parse(bytes.toString()));
      return fingerprint === survey.fingerprint ? layer : undefined;
    } catch {
      return undefined;
    }
  }

  /** Remembers a layer; `survey` was made before packing, at time `at` in milliseconds. */
  remember(job: ArchiveJob, survey: Survey, layer: PackedLayer, at: number): void {
    // Skipped entries must be reported on every push, and a file written just now may be written again unnoticed.
    if (layer.skipped.length > 0 || survey.changed > at - SETTLED) return;
    const { skipped: _none, unstripped: _same, ...kept } = layer;
    const entry = { fingerprint: survey.fingerprint, layer: kept };
    this.#cache.set(KIND, this.#key(job), Buffer.from(JSON.stringify(entry)));
  }

  /** Forgets the layer of a prefix. */
  forget(job: ArchiveJob): void {
    this.#cache.delete(KIND, this.#key(job));
  }

  /** The layer that was joined from these. */
  recallJoined(parts: readonly Digest[]): JoinedLayer | undefined {
    const bytes = this.#cache.get(JOINED, this.#joinedKey(parts));
    try {
      return bytes === undefined ? undefined : joinedSchema.parse(JSON.parse(bytes.toString()));
    } catch {
      return undefined;
    }
  }

  /** Remembers a layer that was joined from others. */
  rememberJoined(parts: readonly Digest[], layer: JoinedLayer): void {
    this.#cache.set(JOINED, this.#joinedKey(parts), Buffer.from(JSON.stringify(layer)));
  }

  /** Forgets a layer that was joined from others. */
  forgetJoined(parts: readonly Digest[]): void {
    this.#cache.delete(JOINED, this.#joinedKey(parts));
  }

  /** The eStargz layer that was made from a layer. */
  recallLazy(layer: Digest): LazyLayer | undefined {
    const bytes = this.#cache.get(LAZY, `${layer} ${this.#suffix}`);
    try {
      return bytes === undefined ? undefined : lazySchema.parse(JSON.parse(bytes.toString()));
    } catch {
      return undefined;
    }
  }

  /** Remembers an eStargz layer that was made from a layer. */
  rememberLazy(layer: Digest, lazy: LazyLayer): void {
    this.#cache.set(LAZY, `${layer} ${this.#suffix}`, Buffer.from(JSON.stringify(lazy)));
  }

  #joinedKey(parts: readonly Digest[]): string {
    return `${parts.join(" ")} ${this.#suffix}`;
  }

  #key(job: ArchiveJob): string {
    const omit = job.omit === undefined ? "" : ` without ${job.omit.join()}`;
    const strip = job.strip === undefined ? "" : ` stripped by ${job.strip.id}`;
    return `${job.directory ?? ""} ${job.prefix} ${this.#suffix}${omit}${strip}`;
  }
}
