// `prune`: which specs of a cache nothing needs any more, and their removal. Deciding comes first and is told; removing takes
// images before what they hold, so that no image is ever left without its layers.

import type { IndexReport } from "../../cache/index-update.ts";
import { updateIndex } from "../../cache/index-update.ts";
import type { OciCache } from "../../cache/oci-cache.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { LayoutTarget } from "../../target/layout/layout.ts";
import { findGarbage } from "../../target/layout/layout-garbage.ts";
import { forEachLimit } from "../../util/limit.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { Keeper, type KeepOptions } from "./keep.ts";

export interface PruneOptions extends KeepOptions {
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
  /** Specs that are kept because they were pushed lately, as far as that can be known; others may just be pushing. */
  young: string[];
  /** In directories: blobs that nothing leads to, and their bytes. Registries collect theirs themselves. */
  garbage: { count: number; bytes: number };
}

export interface PruneReport extends PrunePlan {
  removed: number;
  /** The registry does not let anybody delete; nothing was removed. */
  isUnsupported: boolean;
  index: IndexReport | undefined;
}

interface Looked extends PrunedImage {
  readonly age: number | undefined;
}

const CONCURRENCY = 8;

/** Decides what would be removed, and removes nothing. */
export async function planPrune(cache: OciCache, options: PruneOptions): Promise<PrunePlan> {
  const { signal } = options;
  const listing = await cache.list({ signal });
  const specs = [...listing.specs.values()].sort((a, b) => (a.tag < b.tag ? -1 : 1));
  const keeper = await Keeper.open(cache, specs, options);
  const found = new Map<string, Looked>();
  // The same manifest may also be there under a name of its own.
  const named = new Set<Digest>();
  const look = async (tag: string): Promise<void> => {
    const present = await cache.target.headManifest(tag, { signal });
    if (present) named.add(present.digest);
  };
  if (specs.some((spec) => !keeper.keeps(spec)))
    await forEachLimit([...listing.others, ...listing.foreign], CONCURRENCY, look, signal);
  await forEachLimit(specs, CONCURRENCY, async (spec) => {
    if (keeper.keeps(spec)) return;
    const image = await prunedImage(cache, spec.tag, signal);
    if (image === undefined || named.has(image.digest)) return;
    found.set(spec.tag, image);
  });
  for (const spec of specs) {
    const age = found.get(spec.tag)?.age;
    if (age !== undefined) await keeper.foundAge(spec, age);
  }
  const images = specs.flatMap((spec): PrunedImage[] => {
    const looked = found.get(spec.tag);
    if (looked === undefined || keeper.keeps(spec)) return [];
    const { age: _, ...image } = looked;
    return [image];
  });
  const gone = new Set(images.flatMap(({ digest, referrers }) => [digest, ...referrers]));
  const garbage = await garbageOf(cache, gone, options);
  const bytes = garbage.reduce((sum, { size }) => sum + size, 0);
  return {
    cache: cache.name,
    kept: listing.specs.size - images.length,
    images,
    ageless: keeper.ageless.sort(),
    young: keeper.young.sort(),
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
): Promise<Looked | undefined> {
  try {
    const { descriptor, bytes, age } = await target.fetchManifest(tag, { signal });
    const { digest, mediaType } = descriptor;
    const referrers = (await target.referrers(digest, { signal })).map((entry) => entry.digest);
    return { tag, digest, mediaType, manifest: bytes.toString("utf8"), referrers, age };
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
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
