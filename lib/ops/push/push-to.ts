// A push to any build cache: as images where it has them, otherwise as archives.
import { hasArchives, hasImages, type IndexedCache, lacks, type ReadCache } from "../../cache/cache.ts";
import { type PlanOptions, type PushOptions, planOf, push } from "./push.ts";
import { planArchives, pushArchives } from "./push-archives.ts";
import type { PushPlanReport, PushReport } from "./report.ts";

/** Pushes specs to a cache. Throws as `push` does, and UNSUPPORTED if the cache cannot do what is asked. */
export async function pushTo(cache: IndexedCache, options: Omit<PushOptions, "target" | "cache">): Promise<PushReport> {
  if (hasImages(cache)) return await push({ ...options, cache, target: cache.target });
  if (hasArchives(cache)) return await pushArchives({ ...options, cache });
  throw lacks(cache, "write");
}

/** Reports what `pushTo` would do, and writes nothing. */
export async function planTo(
  cache: ReadCache,
  options: Omit<PlanOptions, "target" | "cache">,
): Promise<PushPlanReport> {
  if (hasImages(cache)) return await planOf({ ...options, cache, target: cache.target });
  if (hasArchives(cache)) return await planArchives({ ...options, cache });
  throw lacks(cache, "write");
}
