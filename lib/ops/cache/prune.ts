// `prune`: plans and carries out the removal of specs that a cache no longer needs. Specs leave the index before their
// images, and images before their blobs: the index lists nothing that is gone, and no image is ever left without its
// layers.

import type { IndexReport } from "../../cache/index-update.ts";
import { updateIndex } from "../../cache/index-update.ts";
import type { PrunableCache, SpecStorage, StoredSpec, UnusedBlob } from "../../cache/spec-storage.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { forEachLimit } from "../../util/limit.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { Keeper, type KeepOptions } from "./keep.ts";

/** The options of `prune`. */
export interface PruneOptions extends KeepOptions {
  /** Keep blobs, so that removed images can be restored. */
  readonly keepBlobs?: boolean | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

/** A manifest that is or would be removed, with the data to restore it. */
export interface PrunedImage {
  tag: string;
  digest: Digest;
  mediaType: string;
  /** The manifest itself. */
  manifest: string;
  /** Digests of its referrers, such as signatures, which are removed with it. */
  referrers: Digest[];
}

/** The plan of a prune. */
export interface PrunePlan {
  cache: string;
  /** How many specs are kept. */
  kept: number;
  images: PrunedImage[];
  /** Specs that are kept only because their age is unknown. */
  ageless: string[];
  /** Specs that are kept because they were, or may have been, pushed recently. */
  young: string[];
  /** In directories: the unused blobs and their bytes. Registries collect theirs themselves. */
  garbage: { count: number; bytes: number };
}

/** The report of `prune`. */
export interface PruneReport extends PrunePlan {
  removed: number;
  /** The registry does not support deletion; nothing was removed. */
  isUnsupported: boolean;
  index: IndexReport | undefined;
}

const CONCURRENCY = 8;

/** Plans what to remove, without removing anything. */
export async function planPrune(cache: PrunableCache, options: PruneOptions): Promise<PrunePlan> {
  const { signal } = options;
  const storage = await cache.openStorage();
  const listing = await cache.list({ signal });
  const specs = [...listing.specs.values()].sort((a, b) => (a.tag < b.tag ? -1 : 1));
  const keeper = await Keeper.open(cache, specs, options);
  const found = new Map<string, StoredSpec>();
  // The same manifest may also have a tag that is not a spec's, or be part of an index that has one.
  const named = new Set<Digest>();
  const look = async (tag: string): Promise<void> => {
    for (const digest of await storage.digestsOf(tag, { signal })) named.add(digest);
  };
  if (specs.some((spec) => !keeper.keeps(spec)))
    await forEachLimit([...listing.others, ...listing.foreign], CONCURRENCY, look, signal);
  await forEachLimit(specs, CONCURRENCY, async (spec) => {
    if (keeper.keeps(spec)) return;
    const image = await storage.stored(spec.tag, { now: options.now, signal });
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
    const { age: _, referrers, ...image } = looked;
    return [{ ...image, referrers: referrers.filter((digest) => !named.has(digest)) }];
  });
  const gone = new Set(images.flatMap(({ digest, referrers }) => [digest, ...referrers]));
  const garbage = await garbageOf(storage, gone, options);
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

async function garbageOf(
  storage: SpecStorage,
  gone: ReadonlySet<Digest>,
  { grace, now, keepBlobs = false, signal, onProgress = noProgress }: PruneOptions,
): Promise<readonly UnusedBlob[]> {
  if (keepBlobs) return [];
  const onWarning = (text: string): void => onProgress({ type: "warning", text });
  return await storage.unused({ gone, before: now - grace, signal, onWarning });
}

/**
 * Carries out a plan: removes the specs from the index, then their images and, in a directory, the blobs that are
 * unused by then. Images that cannot be removed are put back into the index. If the cache does not support deletion,
 * sets `isUnsupported`. Throws what the cache throws for other reasons.
 */
export async function prune(cache: PrunableCache, plan: PrunePlan, options: PruneOptions): Promise<PruneReport> {
  const { signal, onProgress = noProgress } = options;
  const storage = await cache.openStorage();
  if (plan.images.length > 0 && !(await storage.mayRemove({ signal }))) return unsupported(plan, 0);
  let index: IndexReport | undefined;
  let removed = 0;
  if (plan.images.length > 0) {
    const without = new Set(plan.images.map(({ tag }) => tag));
    const first = await updateIndex(cache, { without, signal, onProgress });
    try {
      for (const image of plan.images) {
        signal?.throwIfAborted();
        if (!(await storage.remove({ ...image, age: undefined }, { signal }))) continue;
        removed++;
        onProgress({ type: "note", text: `removed ${image.tag}` });
      }
    } catch (error) {
      // The remaining images belong in the index. The original error is thrown whether or not this succeeds.
      await updateIndex(cache, { signal, onProgress }).catch(() => {});
      if (!isUnsupported(error)) throw error;
      return unsupported(plan, removed);
    }
    // Images that were pushed again meanwhile were kept, and other clients may have indexed images that were removed
    // since.
    const last = await updateIndex(cache, { signal, onProgress });
    index = { ...last, isWritten: first.isWritten || last.isWritten, ...changes(first, last) };
  }
  const garbage = await garbageOf(storage, new Set(), options);
  let bytes = 0;
  for (const { digest, size } of garbage) {
    await storage.removeBlob(digest, { signal });
    bytes += size;
  }
  return { ...plan, garbage: { count: garbage.length, bytes }, removed, isUnsupported: false, index };
}

/** What two consecutive updates of an index added and dropped. */
function changes(first: IndexReport, last: IndexReport): Pick<IndexReport, "added" | "dropped"> {
  const added = first.added.concat(last.added);
  const dropped = first.dropped.concat(last.dropped);
  return {
    added: added.filter((tag) => !dropped.includes(tag)).sort(),
    dropped: dropped.filter((tag) => !last.added.includes(tag)).sort(),
  };
}

function unsupported(plan: PrunePlan, removed: number): PruneReport {
  return { ...plan, removed, isUnsupported: true, index: undefined };
}

function isUnsupported(error: unknown): boolean {
  return isStaveError(error, "UNSUPPORTED") || (isStaveError(error) && error.status === 405);
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
