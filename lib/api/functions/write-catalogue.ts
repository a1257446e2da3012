// `writeCatalogue`: writes the pages of a catalogue of a build cache.
import { resolve } from "node:path";
import { type WebReport, writeCatalogue as write } from "../../ops/cache/web.ts";
import { cacheAddress } from "../places/cache-address.ts";
import { checkCache, checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, surroundingsOf } from "./common.ts";
import { type CacheArgument, openCache, SPACK, type SpackOptions } from "./open-cache.ts";

/** How to write a catalogue. */
export interface WriteCatalogueOptions extends CommonOptions, SpackOptions {
  /** The address of the cache that the pages tell their readers. Default: that of the cache. */
  readonly address?: string | undefined;
  /** Also show sizes, layers, signatures and SBOMs. */
  readonly images?: boolean | undefined;
  /** Only count, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Writes pages to browse a build cache into a folder, as `stave web` does. Throws USAGE for a folder with other files,
 * NOT_FOUND for a cache without an index, CONFLICT if another run writes there and does not end, and what reading the
 * index throws.
 */
export async function writeCatalogue(
  cache: CacheArgument,
  directory: string,
  options: WriteCatalogueOptions = {},
): Promise<WebReport> {
  checkCache("writeCatalogue: the cache", cache);
  checkText("writeCatalogue: the directory", directory);
  const { address, images: readsImages, dryRun: isDryRun, signal, onProgress: progress, ...common } = options;
  checkOptions("writeCatalogue", options, {
    ...{ ...COMMON, ...SPACK },
    ...{ address: "string", images: "boolean", dryRun: "boolean" },
  });
  const { cwd, clock } = surroundingsOf(options);
  const opened = typeof cache === "object" ? cache : await openCache(cache, { ...common, signal });
  try {
    return await write(opened.cache, {
      ...{ directory: resolve(cwd, directory), address: cacheAddress(address, opened.location, cwd) },
      ...{ readsImages, isDryRun, progress, signal, clock },
    });
  } finally {
    if (opened !== cache) await opened.close();
  }
}
