// `sync` and `migrate`: copy specs between build caches of any kind, and bring a mirror to the newest layout.
import { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import { StaveError } from "../../errors.ts";
import { type MigrateReport, migrate as migrateMirror } from "../../ops/sync/migrate.ts";
import { planSync, type SyncReport, sync as syncCaches } from "../../ops/sync/sync.ts";
import { checkCache, checkOptions, type Shape } from "./check-options.ts";
import { COMMON, type CommonOptions } from "./common.ts";
import type { SpackOptions } from "./open-cache.ts";
import {
  type CacheArgument,
  type Opening,
  openingOf,
  openToPlan,
  openToRead,
  openToWrite,
  SPACK,
} from "./open-cache.ts";

/** What copies of specs have in common. */
export interface MovingOptions extends CommonOptions, SpackOptions {
  /** Neither check the gpg signatures of the source nor sign. */
  readonly unsigned?: boolean | undefined;
  /** The gpg key for specs without a signature. Default: the only secret key. */
  readonly gpgKey?: string | undefined;
  /** How many specs to copy at once; default 4. */
  readonly jobs?: number | undefined;
  /** Report what would be done, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** What to copy from one cache to another. */
export interface SyncCachesOptions extends MovingOptions {
  /** Queries in Spack's syntax; their specs are copied with link and run dependencies. Default: all specs. */
  readonly specs?: readonly string[] | undefined;
  /** Copy the specs of the environment's lock file, if no `specs` are given. */
  readonly locked?: boolean | undefined;
  /** Remove from the destination what is not copied. */
  readonly delete?: boolean | undefined;
}

/** How to migrate a mirror. */
export interface MigrateMirrorOptions extends MovingOptions {
  /** Remove the old form of each spec whose new form was read back. */
  readonly deleteExisting?: boolean | undefined;
}

const MOVING: Shape<MovingOptions> = {
  ...{ ...COMMON, ...SPACK },
  ...{ unsigned: "boolean", gpgKey: "string", jobs: "count", dryRun: "boolean" },
};
const JOBS = 4;

function openingFor(options: MovingOptions): Opening {
  const { unsigned, gpgKey: key } = options;
  const opening = openingOf(options);
  const checked = { ...opening.options, create: true, verifies: unsigned !== true };
  return { ...opening, options: checked, signing: { unsigned, key, isLate: true } };
}

/**
 * Copies specs between build caches of any kind, as `stave sync` does. Specs that cannot be copied are in `failures` of
 * the report. Throws if a cache cannot be read or written.
 */
export async function sync(
  from: CacheArgument,
  to: CacheArgument,
  options: SyncCachesOptions = {},
): Promise<SyncReport> {
  checkCache("sync: the source", from);
  checkCache("sync: the destination", to);
  checkOptions("sync", options, { ...MOVING, specs: "strings", locked: "boolean", delete: "boolean" });
  const { specs = [], locked, jobs = JOBS, onProgress, signal } = options;
  signal?.throwIfAborted();
  const opening = openingFor(options);
  const files = opening.files();
  const queries = await files.specs(specs);
  const lock = locked && queries.length === 0 ? await files.lock() : undefined;
  const reading = { ...opening, options: { ...opening.options, create: false } };
  await using source = await openToRead(from, reading);
  const [cache] = source.caches;
  if (cache === undefined) throw new StaveError("INTERNAL", "the source was not opened");
  const nodes = lock && [...lock.graph.nodes()];
  const common = { queries, nodes, removes: options.delete, jobs, now: opening.around.clock.now(), onProgress, signal };
  if (options.dryRun) {
    await using opened = await openToPlan(to, opening);
    return await planSync(cache, opened.cache, common);
  }
  await using opened = await openToWrite(to, opening);
  return await syncCaches(cache, opened.cache, common);
}

/** Brings a mirror of Spack 0.x to the newest layout, as `stave migrate` does. Throws UNSUPPORTED for other caches. */
export async function migrate(mirror: string, options: MigrateMirrorOptions = {}): Promise<MigrateReport> {
  checkCache("migrate: the mirror", mirror);
  checkOptions("migrate", options, { ...MOVING, deleteExisting: "boolean" });
  const { deleteExisting: removesOld, dryRun: isDryRun, jobs = JOBS, onProgress, signal } = options;
  signal?.throwIfAborted();
  const opening = openingFor(options);
  const reading = { ...opening, options: { ...opening.options, create: false } };
  await using source = await openToRead(mirror, reading);
  await using opened = await openToWrite(mirror, { ...reading, signing: opening.signing });
  const [from] = source.caches;
  const { cache: to } = opened;
  if (!(from instanceof MirrorCache && to instanceof MirrorCache))
    throw new StaveError("UNSUPPORTED", `${to.name} has one layout only`, { hint: "name a mirror of Spack 0.x" });
  const now = opening.around.clock.now();
  return await migrateMirror(from, to, { removesOld, isDryRun, jobs, now, onProgress, signal });
}
