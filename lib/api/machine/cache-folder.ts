// The folder for stave's caches: `$XDG_CACHE_HOME/stave`. It may be deleted at any time.
import { resolve } from "node:path";
import { DiskCache } from "../../util/disk-cache.ts";
import type { Surroundings } from "./surroundings.ts";
import { xdgFolder } from "./xdg-folder.ts";

/** In bytes. The largest entries are indexes; one of 100 000 specs has 500 MB. */
const LIMIT = 2_000_000_000;
const ENTRY_LIMIT = 1_000_000_000;

/** The cache that all runs of this user share. */
export function diskCache(around: Surroundings): DiskCache {
  return new DiskCache({ folder: cacheFolder(around), clock: around.clock, limit: LIMIT, entryLimit: ENTRY_LIMIT });
}

/** In bytes; a run of 2 000 specs has 500 kB. */
const RUN_LIMIT = 16_000_000;

/** The same cache for entries that decide what is executed: those that another user may have written are absent. */
export function ownDiskCache(around: Surroundings, entryLimit: number = RUN_LIMIT): DiskCache {
  const { clock, uid: owner } = around;
  return new DiskCache({ folder: cacheFolder(around), clock, limit: LIMIT, entryLimit, owner });
}

/** The folder itself, or one inside it. */
export function cacheFolder(around: Surroundings, ...names: string[]): string {
  return resolve(around.cwd, xdgFolder(around, "XDG_CACHE_HOME"), "stave", ...names);
}
