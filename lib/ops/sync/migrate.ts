// `migrate`: copies the specs of a mirror from older layouts to the newest one, in place. An old spec is removed only
// after its new form was read back.
import type { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import { isUnfit } from "../../cache/unusable.ts";
import { forEachLimit } from "../../util/limit.ts";
import { planSync, type SyncOptions, type SyncReport, sync } from "./sync.ts";

/** The options of `migrate`. */
export interface MigrateOptions extends Omit<SyncOptions, "queries" | "nodes" | "removes"> {
  /** Remove the old form of each spec that is in the newest layout. */
  readonly removesOld?: boolean | undefined;
  readonly isDryRun?: boolean | undefined;
}

/** The report of `migrate`. */
export interface MigrateReport {
  mirror: string;
  /** What was copied to the newest layout. */
  sync: SyncReport;
  /** The tags of specs whose old form was removed. */
  removed: string[];
  /** The tags of specs that exist only in an old form, and files that look like old specs and are none. */
  left: string[];
}

const CONCURRENCY = 8;

/** Migrates a mirror; `from` reads all of its layouts, `to` writes the newest one. Throws as `sync` does. */
export async function migrate(from: MirrorCache, to: MirrorCache, options: MigrateOptions): Promise<MigrateReport> {
  const { signal, removesOld = false, isDryRun = false } = options;
  const { old } = to;
  const { specs, foreign } = await old.list({ signal });
  const done = isDryRun ? await planSync(from, to, options) : await sync(from, to, options);
  const report: MigrateReport = { mirror: to.name, sync: done, removed: [], left: [...foreign] };
  if (isDryRun) return report;
  await forEachLimit(
    specs.keys(),
    CONCURRENCY,
    async (tag) => {
      if (!(await isWhole(to, tag, signal))) report.left.push(tag);
      else if (removesOld) {
        await old.remove(tag, { signal });
        report.removed.push(tag);
      }
    },
    signal,
  );
  if (removesOld && report.left.length === 0) await old.removeRest({ signal });
  report.left.sort();
  report.removed.sort();
  return report;
}

// Reads the new form back, archive included.
async function isWhole(to: MirrorCache, tag: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const spec = await to.fetchSpec(tag, { signal });
    for await (const _ of await to.blobsOf(spec).fetchBlob(spec.archive, { signal }));
    return true;
  } catch (error) {
    if (isUnfit(error)) return false;
    throw error;
  }
}
