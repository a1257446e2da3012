// The folder for stave's caches: `$XDG_CACHE_HOME/stave`. It may be deleted at any time.
import { join, resolve } from "node:path";
import { DiskCache } from "../util/disk-cache.ts";
import type { Surroundings } from "./surroundings.ts";

/** In bytes. The largest entries are indexes; one of 100 000 specs has 500 MB. */
const LIMIT = 2_000_000_000;
const ENTRY_LIMIT = 1_000_000_000;

/** The cache that all runs of this user share. */
export function diskCache(around: Surroundings): DiskCache {
  return new DiskCache({ folder: cacheFolder(around), clock: around.clock, limit: LIMIT, entryLimit: ENTRY_LIMIT });
}

/** The folder itself, or one inside it. */
export function cacheFolder({ env, home, cwd }: Surroundings, ...names: string[]): string {
  return resolve(cwd, env["XDG_CACHE_HOME"] || join(home, ".cache"), "stave", ...names);
}
