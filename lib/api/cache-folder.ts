// The folder for stave's caches: `$XDG_CACHE_HOME/stave`. It may be deleted at any time.
import { join, resolve } from "node:path";
import { DiskCache } from "../util/disk-cache.ts";
import type { Surroundings } from "./surroundings.ts";

/** In bytes. The largest entries are indexes; one of 100 000 specs has 500 MB. */
const LIMIT = 2_000_000_000;
const ENTRY_LIMIT = 1_000_000_000;

/** The cache that all runs of this user share. */
export function diskCache({ env, home, cwd, clock }: Surroundings): DiskCache {
  const folder = resolve(cwd, join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "stave"));
  return new DiskCache({ folder, clock, limit: LIMIT, entryLimit: ENTRY_LIMIT });
}
