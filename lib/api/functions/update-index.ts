// `updateIndex`: updates the index of a build cache.
import { checkIndex, type IndexReport, updateIndex as reindex } from "../../cache/index-update.ts";
import { checkCache, checkOptions } from "./check-options.ts";
import { COMMON, type CommonOptions } from "./common.ts";
import { type CacheArgument, openingOf, openToWrite, SPACK, type SpackOptions } from "./open-cache.ts";

/** How to update an index. */
export interface UpdateIndexOptions extends CommonOptions, SpackOptions {
  /** Read every spec again. */
  readonly full?: boolean | undefined;
  /** Only compare, and write nothing. */
  readonly check?: boolean | undefined;
}

/** Updates the index of a build cache, as `stave index` does. Throws the errors that `stave index` prints. */
export async function updateIndex(cache?: CacheArgument, options: UpdateIndexOptions = {}): Promise<IndexReport> {
  if (cache !== undefined) checkCache("updateIndex: the cache", cache);
  checkOptions("updateIndex", options, { ...COMMON, ...SPACK, full: "boolean", check: "boolean" });
  const { full, check, signal, onProgress } = options;
  signal?.throwIfAborted();
  await using opened = await openToWrite(cache, openingOf(options));
  return await (check ? checkIndex : reindex)(opened.cache, { full, signal, onProgress });
}
