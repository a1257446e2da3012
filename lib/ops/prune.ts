// `prune`: which specs of a cache nothing needs any more, and their removal. Deciding comes first and is told; removing takes
// images before what they hold, so that no image is ever left without its layers.

import type { CacheIndex } from "../cache/index-read.ts";
import type { IndexReport } from "../cache/index-update.ts";
import { updateIndex } from "../cache/index-update.ts";
import type { OciCache } from "../cache/oci-cache.ts";
import { closure } from "../cache/record.ts";
import type { TaggedSpec } from "../cache/spec-tag.ts";
import { isStaveError, StaveError } from "../errors.ts";
import type { Digest } from "../oci/digest.ts";
import { LayoutTarget } from "../target/layout.ts";
import { findGarbage } from "../target/layout-garbage.ts";
import type { OperationOptions } from "../target/target.ts";
import { forEachLimit } from "../util/limit.ts";
import { noProgress, type ProgressSink } from "../util/progress.ts";

/** What is kept of the specs; all of them when nothing says which. */
export interface KeepRules {
  /** DAG hashes, of which what they depend on is kept, too. */
  readonly hashes?: ReadonlySet<string> | undefined;
  /** Images younger than this are kept, in milliseconds, with what they depend on; those whose age nobody knows are kept. */
  readonly within?: number | undefined;
}

export interface PruneOptions extends OperationOptions {
  readonly keep: KeepRules;
  /** In directories, what is younger than this, in milliseconds, is left alone: others may be pushing. */
  readonly grace: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Leave blobs where they are, so that what is removed can be put back. */
  readonly keepBlobs?: boolean | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

/** A manifest that is, or would be, removed, with what is needed to put it back. */
export interface PrunedImage {
  tag: string;
  digest: Digest;
  mediaType: string;
  /** The manifest itself. */
  manifest: string;
  /** Digests of manifests that refer to it, signatures for instance, and go with it. */
  referrers: Digest[];
}

/** What a prune will do. */
export interface PrunePlan {
  cache: string;
  /** How many specs are kept. */
  kept: number;
  images: PrunedImage[];
  /** Specs that are kept only because nobody knows how old they are. */
  ageless: string[];
  /** In directories: blobs that nothing leads to, and their bytes. Registries collect theirs themselves. */
  garbage: { count: number; bytes: number };
}

export interface PruneReport extends PrunePlan {
  removed: number;
  /** The registry does not let anybody delete; nothing was removed. */
  isUnsupported: boolean;
  index: IndexReport | undefined;
}

const CONCURRENCY = 8;

/** Decides what would be removed, and removes nothing. */
export async function planPrune(cache: OciCache, options: PruneOptions): Promise<PrunePlan> {
  const { keep, signal } = options;
  const listing = await cache.list({ signal });
  const ageless: string[] = [];
  const keepsAll = keep.hashes === undefined && keep.within === undefined;
  const kept = keepsAll ? listing.specs : await keptSpecs(cache, listing.specs, options, ageless);
  const doomed = [...listing.specs.values()].filter(({ tag }) => !kept.has(tag));
  // The same manifest may also be there under a name of its own.
  const named = new Set<Digest>();
  const look = async (tag: string): Promise<void> => {
    const found = await cache.target.headManifest(tag, { signal });
    if (found) named.add(found.digest);
  };
  if (doomed.length > 0) await forEachLimit([...listing.others, ...listing.foreign], CONCURRENCY, look, signal);
  const images: PrunedImage[] = [];
  await forEachLimit(doomed, CONCURRENCY, async ({ tag }) => {
    const image = await prunedImage(cache, tag, signal);
    if (image !== undefined && !named.has(image.digest)) images.push(image);
  });
  images.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  const gone = new Set(images.flatMap(({ digest, referrers }) => [digest, ...referrers]));
  const garbage = await garbageOf(cache, gone, options);
  const bytes = garbage.reduce((sum, { size }) => sum + size, 0);
  return {
    cache: cache.name,
    kept: listing.specs.size - images.length,
    images,
    ageless: ageless.sort(),
    garbage: { count: garbage.length, bytes },
  };
}

async function garbageOf(cache: OciCache, gone: ReadonlySet<Digest>, options: PruneOptions) {
  const { grace, now, keepBlobs = false, signal } = options;
  const { target } = cache;
  return target instanceof LayoutTarget && !keepBlobs
    ? await findGarbage(target, { gone, before: now - grace, signal })
    : [];
}

// Undefined for an image that is gone already.
async function prunedImage(
  { target }: OciCache,
  tag: string,
  signal: AbortSignal | undefined,
): Promise<PrunedImage | undefined> {
  try {
    const { descriptor, bytes } = await target.fetchManifest(tag, { signal });
    const { digest, mediaType } = descriptor;
    const referrers = (await target.referrers(digest, { signal })).map((entry) => entry.digest);
    return { tag, digest, mediaType, manifest: bytes.toString("utf8"), referrers };
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

async function layoutAge(target: LayoutTarget, digest: Digest, now: number): Promise<number | undefined> {
  const changed = await target.blobs.changed(digest);
  return changed === undefined ? undefined : now - changed;
}

/** The tags that are kept: those of the rules, and those of all that these depend on. */
async function keptSpecs(
  cache: OciCache,
  specs: ReadonlyMap<string, TaggedSpec>,
  options: PruneOptions,
  ageless: string[],
): Promise<Set<string>> {
  const { keep, grace, signal } = options;
  const roots = new Set(keep.hashes);
  // Of a registry, asking for ages costs two requests for each spec: that is done only when the rules need them.
  const isTimed = cache.target instanceof LayoutTarget;
  if (keep.within !== undefined || isTimed)
    await forEachLimit(specs.values(), CONCURRENCY, async ({ tag, hash }) => {
      if (roots.has(hash)) return;
      const age = await ageOf(cache, tag, options);
      if (age === undefined && keep.within !== undefined) ageless.push(tag);
      const isYoung = age === undefined ? keep.within !== undefined : age < Math.max(keep.within ?? 0, grace);
      if (isYoung) roots.add(hash);
    });
  const index = await cache.readIndex({ signal });
  const hashes = new Set(roots);
  for (const spec of specs.values()) {
    if (!roots.has(spec.hash)) continue;
    for (const hash of await dependenciesOf(cache, spec, index, signal)) hashes.add(hash);
  }
  return new Set([...specs.values()].filter(({ hash }) => hashes.has(hash)).map(({ tag }) => tag));
}

// What the index does not know is read from the image; an image that cannot be read holds nothing but itself.
async function dependenciesOf(
  cache: OciCache,
  { tag, hash }: TaggedSpec,
  index: CacheIndex | undefined,
  signal: AbortSignal | undefined,
): Promise<Iterable<string>> {
  if (index?.records.has(hash) && !index.incomplete.has(hash))
    return closure([hash], (other) => index.records.get(other)).keys();
  try {
    const { graph } = (await cache.fetchSpec(tag, { signal })).document;
    return Array.from(graph.nodes(), (node) => node.hash);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND", "MEDIA_TYPE", "CONTENT_INVALID", "SPEC_INVALID", "TOO_LARGE")) return [hash];
    throw error;
  }
}

// Of a directory the file tells when an image was pushed, of a registry what Spack wrote into the config.
async function ageOf(cache: OciCache, tag: string, { now, signal }: PruneOptions): Promise<number | undefined> {
  const { target } = cache;
  try {
    if (target instanceof LayoutTarget) {
      const descriptor = await target.headManifest(tag, { signal });
      return descriptor && (await layoutAge(target, descriptor.digest, now));
    }
    const { archivedAt } = await cache.fetchSpec(tag, { signal });
    return archivedAt === undefined ? undefined : now - archivedAt;
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND", "MEDIA_TYPE", "CONTENT_INVALID", "SPEC_INVALID", "TOO_LARGE"))
      return undefined;
    throw error;
  }
}

/**
 * Removes what a plan says: first the images, then the index is brought up to date, and in a directory the blobs go that nothing
 * leads to by then. A registry that refuses is told of once. Throws what the cache throws for other reasons.
 */
export async function prune(cache: OciCache, plan: PrunePlan, options: PruneOptions): Promise<PruneReport> {
  const { signal, onProgress = noProgress } = options;
  const { target } = cache;
  let removed = 0;
  for (const { tag, digest, referrers } of plan.images) {
    signal?.throwIfAborted();
    try {
      // Somebody may have pushed it again in the meantime.
      const present = await target.headManifest(tag, { signal });
      if (present?.digest !== digest) continue;
      for (const referrer of referrers) await removeManifest(cache, referrer, signal);
      await target.deleteManifest(digest, { signal });
    } catch (error) {
      if (isStaveError(error, "NOT_FOUND")) continue;
      if (!isStaveError(error, "UNSUPPORTED") && !(isStaveError(error) && error.status === 405)) throw error;
      return { ...plan, removed, isUnsupported: true, index: undefined };
    }
    removed++;
    onProgress({ type: "note", text: `removed ${tag}` });
  }
  const index = removed > 0 ? await updateIndex(cache, { signal, onProgress }) : undefined;
  const garbage = await garbageOf(cache, new Set(), options);
  let bytes = 0;
  for (const { digest, size } of garbage) {
    await target.deleteBlob(digest, { signal });
    bytes += size;
  }
  return { ...plan, garbage: { count: garbage.length, bytes }, removed, isUnsupported: false, index };
}

async function removeManifest(cache: OciCache, digest: Digest, signal: AbortSignal | undefined): Promise<void> {
  try {
    await cache.target.deleteManifest(digest, { signal });
  } catch (error) {
    if (!isStaveError(error, "NOT_FOUND")) throw error;
  }
}

/** Parses `30d`, `12h`, `90m`, `45s` or `2w` into milliseconds. Throws USAGE. */
export function parseDuration(text: string, flag: string): number {
  const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  const [, count, unit] = /^([0-9]{1,6})([smhdw])$/.exec(text) ?? [];
  const seconds = unit === undefined ? undefined : units[unit];
  if (count === undefined || seconds === undefined)
    throw new StaveError(
      "USAGE",
      `${flag} is ${JSON.stringify(text.slice(0, 40))}, expected a time such as 30d, 12h or 2w`,
    );
  return Number(count) * seconds * 1000;
}
