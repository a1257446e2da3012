// `sync`: copies specs from one build cache to another of any kind. What is there is not sent again, so an interrupted
// run continues where it stopped.
import {
  type CachedSpec,
  hasArchives,
  hasKeys,
  type IndexedCache,
  lacks,
  orRegistry,
  type ReadCache,
} from "../../cache/cache.ts";
import { type IndexReport, updateIndex } from "../../cache/index-update.ts";
import { isPrunable } from "../../cache/spec-storage.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { specTag } from "../../spack/spec/spec-name.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import type { OperationOptions } from "../../target/target.ts";
import { concernsAll, Failures } from "../../util/failures.ts";
import { forEachLimit, mapAhead, mapLimit } from "../../util/limit.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { type FoundSpec, findCached } from "../cache/find-cached.ts";
import { nearMisses } from "../cache/near-misses.ts";
import { prune } from "../cache/prune.ts";
import { writerFor } from "./choose-writer.ts";

/** The options of `sync`. */
export interface SyncOptions extends OperationOptions {
  /** The specs to copy, with their link and run dependencies. */
  readonly queries?: readonly { readonly query: SpecQuery; readonly text: string }[] | undefined;
  /** The specs to copy, each as it is; default, without queries: every spec of the source. */
  readonly nodes?: readonly SpecNode[] | undefined;
  /** The same for specs of which only the names are known. */
  readonly tagged?: readonly TaggedSpec[] | undefined;
  /** Remove from the destination what is not copied and is not there already. */
  readonly removes?: boolean | undefined;
  /** How many specs to copy at once. */
  readonly jobs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly onProgress?: ProgressSink | undefined;
}

/** One spec of a sync. */
export interface SyncedSpec {
  name: string;
  version: string;
  hash: string;
  tag: string;
  /** `copied`: with its archive; `linked`: the archive was there already. */
  outcome: "copied" | "linked" | "present" | "absent" | "failed" | "to copy";
  /** The bytes of its archive, if it was read. */
  size: number | undefined;
}

/** The report of `sync`. */
export interface SyncReport {
  from: string;
  to: string;
  specs: SyncedSpec[];
  /** What the copied specs had and the destination cannot hold. */
  lost: string[];
  /** The bytes of archives that were sent. */
  sentBytes: number;
  /** The tags of specs that were, or would be, removed. */
  removed: string[];
  /** The fingerprints of public keys that were copied, so that others can check the signatures. */
  keys: string[];
  index: IndexReport | undefined;
  failures: readonly StaveError[];
  isDryRun: boolean;
}

const CONCURRENCY = 16;
/** How many specs are read before they are written. */
const READ_AHEAD = 16;
const LOST_OF_IMAGES = "environment variables, base images, tagged images and the signatures of images";

/** Reports what `sync` would do, and writes nothing. Throws as `sync` does if it could not sign what it has to. */
export async function planSync(from: ReadCache, to: ReadCache, options: SyncOptions): Promise<SyncReport> {
  const { report, missing, surplus } = await prepare(from, to, options);
  for await (const { entry, spec, error } of readSpecs({ from, to, missing, report }, options)) {
    if (error !== undefined) throw error;
    if (spec === undefined) continue;
    entry.outcome = "to copy";
    entry.size = spec.archive.size;
    report.sentBytes += spec.archive.size;
  }
  return { ...report, removed: surplus, isDryRun: true };
}

/**
 * Copies specs. Failures are in the report, and the other specs are copied. Throws what reading the lists throws,
 * UNSUPPORTED if the destination cannot be written, CREDENTIALS_MISSING if there is no key to sign with, and the
 * signal's reason.
 */
export async function sync(from: ReadCache, to: IndexedCache, options: SyncOptions): Promise<SyncReport> {
  const { signal, jobs, onProgress = noProgress } = options;
  const { report, missing, surplus } = await prepare(from, to, options);
  const failures = new Failures();
  const known = new Map<string, Pick<CachedSpec["document"], "root" | "graph">>();
  const onBytes = (id: string, count: number): void => onProgress({ type: "bytes", id, count });
  const writer = writerFor(from, to, { signal, jobs, onBytes });
  for (const { entry } of missing) onProgress({ type: "queued", id: entry.hash });
  await forEachLimit(
    readSpecs({ from, to, missing, report }, options),
    jobs,
    async ({ entry, spec, error }) => {
      const label = `${entry.name}@${entry.version}/${entry.hash.slice(0, 7)}`;
      const size = spec?.archive.size;
      // The report names each spec.
      const told = { type: "done", id: entry.hash, label, size, isTold: true } as const;
      try {
        if (error !== undefined) throw error;
        if (spec === undefined) return onProgress({ ...told, outcome: "skipped" });
        onProgress({ type: "start", id: entry.hash, label, size });
        const { sent } = await writer.write(spec);
        entry.outcome = sent > 0 ? "copied" : "linked";
        entry.size = size;
        report.sentBytes += sent;
        known.set(entry.tag, spec.document);
        onProgress({ ...told, outcome: sent > 0 ? "copied" : "skipped" });
      } catch (caught) {
        if (!isStaveError(caught) || signal?.aborted) throw caught;
        entry.outcome = "failed";
        onProgress({ ...told, outcome: "failed" });
        failures.add(caught, label, `${label} was not copied`);
        if (concernsAll(caught)) throw caught;
      }
    },
    signal,
  );
  report.failures = failures.causes;
  // Also if nothing was copied: an interrupted run may have ended before them.
  if (report.specs.some(({ outcome }) => AT_DESTINATION.has(outcome))) {
    report.index = await updateIndex(to, { known, signal, onProgress });
    report.keys = await bringKeys(from, to, signal);
  }
  // What a failed spec is needed for may be among the others.
  if (report.failures.length === 0) {
    await removeSpecs(to, surplus, options);
    report.removed = surplus;
  }
  return report;
}

/** After these outcomes DST has the spec. */
const AT_DESTINATION: ReadonlySet<SyncedSpec["outcome"]> = new Set(["copied", "linked", "present"]);

interface Reading {
  readonly from: ReadCache;
  readonly to: ReadCache;
  readonly missing: readonly Missing[];
  readonly report: SyncReport;
}

interface ReadSpec {
  readonly entry: SyncedSpec;
  /** Undefined if the source does not have it. */
  readonly spec?: CachedSpec | undefined;
  readonly error?: unknown;
}

/**
 * Reads the specs ahead of what writes them. Before the first of them is written, it is known whether there is a key to
 * sign with, and what is lost. Throws if there is no key.
 */
function readSpecs(
  { from, to, missing, report }: Reading,
  { signal, onProgress = noProgress }: SyncOptions,
): AsyncIterable<ReadSpec> {
  const lose = (what: string): void => {
    if (report.lost.includes(what)) return;
    report.lost.push(what);
    onProgress({ type: "note", text: `not copied, because ${to.name} cannot hold them: ${what}` });
  };
  return mapAhead(missing, READ_AHEAD, async ({ entry, found }) => {
    signal?.throwIfAborted();
    let spec: CachedSpec | undefined;
    try {
      spec = await readSpec(from, found, signal);
    } catch (error) {
      return { entry, error };
    }
    if (spec === undefined) return { entry };
    if (hasArchives(to)) await to.prepareToPut(spec, { signal });
    if (from.can.images && !to.can.images) lose(LOST_OF_IMAGES);
    if (spec.isSigned && !to.can.sign) lose("gpg signatures");
    return { entry, spec };
  });
}

interface Missing {
  readonly entry: SyncedSpec;
  readonly found: FoundSpec;
}

async function prepare(
  from: ReadCache,
  to: ReadCache,
  options: SyncOptions,
): Promise<{ report: SyncReport; missing: Missing[]; surplus: string[] }> {
  const { signal } = options;
  if (!to.can.write) throw lacks(to, "write");
  const [chosen, there] = await Promise.all([chosenSpecs(from, options), listOrNone(to, signal)]);
  const specs: SyncedSpec[] = [];
  const missing: Missing[] = [];
  for (const found of chosen.values()) {
    const { name, version, hash, tag } = found;
    const isThere = there.has(tag);
    // Whether the source has it turns out when it is read.
    const entry: SyncedSpec = { name, version, hash, tag, outcome: isThere ? "present" : "absent", size: undefined };
    specs.push(entry);
    if (!isThere) missing.push({ entry, found });
  }
  const report: SyncReport = {
    ...{ from: from.name, to: to.name, specs, lost: [], sentBytes: 0, removed: [] },
    ...{ keys: [], index: undefined, failures: [], isDryRun: false },
  };
  const surplus = options.removes ? [...there].filter(([, { hash }]) => !chosen.has(hash)).map(([tag]) => tag) : [];
  return { report, missing, surplus };
}

type Chosen = FoundSpec & Pick<SyncedSpec, "name" | "version" | "hash">;

// By DAG hash.
async function chosenSpecs(from: ReadCache, options: SyncOptions): Promise<Map<string, Chosen>> {
  const { queries, nodes, tagged, signal } = options;
  const chosen = new Map<string, Chosen>();
  const add = (node: SpecNode): void => {
    if (node.external === undefined) chosen.set(node.hash, { ...named(node), node });
  };
  for (const node of nodes ?? []) add(node);
  for (const { tag, name, version, hash } of tagged ?? [])
    chosen.set(hash, { tag, name, version, hash, node: undefined });
  if (queries !== undefined && queries.length > 0) {
    const find = async ({ query, text }: (typeof queries)[number]): Promise<FoundSpec[]> => {
      const matching = await findCached(from, query, { signal });
      if (matching.length > 0) return matching;
      const hint = (await nearMisses([from], query, { signal })) ?? "`stave list -a` shows what is there";
      throw new StaveError("SPEC_ABSENT", `${text} is not in ${from.name}`, { subject: text, hint });
    };
    const found = (await mapLimit(queries, CONCURRENCY, find, signal)).flat();
    const specs = await mapLimit(found, CONCURRENCY, ({ tag, node }) => from.fetchSpec(tag, { node, signal }), signal);
    for (const node of postOrder(
      specs.map(({ document }) => document.root),
      { types: LINK | RUN },
    ))
      add(node);
  }
  if (nodes !== undefined || tagged !== undefined || (queries !== undefined && queries.length > 0)) return chosen;
  if (from.can.list) {
    for (const { tag, name, version, hash } of (await from.list({ signal })).specs.values())
      chosen.set(hash, { tag, name, version, hash, node: undefined });
    return chosen;
  }
  const index = await from.readIndex({ signal });
  if (index === undefined) throw await orRegistry(from, lacks(from, "list"), { signal });
  for (const record of index.records.values())
    if (record.inBuildcache) chosen.set(record.hash, { ...named(record), node: undefined });
  return chosen;
}

function named(node: Pick<SpecNode, "name" | "version" | "hash">): Omit<Chosen, "node"> {
  const { name, version, hash } = node;
  return { name, version, hash, tag: specTag(node) };
}

// A repository is created by the first push to it; a bucket is not.
async function listOrNone(to: ReadCache, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, TaggedSpec>> {
  try {
    return (await to.list({ signal })).specs;
  } catch (error) {
    if (to.can.images && isStaveError(error, "NOT_FOUND")) return new Map();
    throw error;
  }
}

async function readSpec(
  from: ReadCache,
  { tag, node }: FoundSpec,
  signal: AbortSignal | undefined,
): Promise<CachedSpec | undefined> {
  try {
    return await from.fetchSpec(tag, { node, signal });
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

// A key is public and not trusted for being there; without it the signatures that were copied could not be checked.
async function bringKeys(from: ReadCache, to: ReadCache, signal: AbortSignal | undefined): Promise<string[]> {
  if (!hasKeys(from) || !hasKeys(to)) return [];
  const [offered, there] = [await from.keys({ signal }), await to.keys({ signal })];
  const fresh = offered.filter((key) => !there.some(({ fingerprint }) => fingerprint === key.fingerprint));
  if (fresh.length > 0) await to.storeKeys(fresh, { isIndexed: true, signal });
  return fresh.map(({ fingerprint }) => fingerprint);
}

// Removes specs as a prune does; blobs that are unused then are left to a prune.
async function removeSpecs(to: IndexedCache, tags: readonly string[], options: SyncOptions): Promise<void> {
  const { now, signal, onProgress } = options;
  if (tags.length === 0) return;
  if (!isPrunable(to)) throw lacks(to, "delete");
  const storage = await to.openStorage();
  const stored = await mapLimit(tags, CONCURRENCY, (tag) => storage.stored(tag, { now, signal }), signal);
  const images = stored.flatMap((spec) => (spec ? [{ ...spec, referrers: [...spec.referrers] }] : []));
  const nothing = { kept: 0, ageless: [], young: [], garbage: { count: 0, bytes: 0 } };
  const { isUnsupported } = await prune(
    to,
    { cache: to.name, images, ...nothing },
    { keep: {}, grace: 0, now, keepBlobs: true, signal, onProgress },
  );
  if (isUnsupported) throw lacks(to, "delete");
}
