// `list`: the specs of a build cache, from its index or from its tags alone.
import { type CacheListing, lacks, orRegistry, type ReadCache } from "../../cache/cache.ts";
import type { CacheIndex } from "../../cache/index-read.ts";
import { listIndexed } from "../../cache/index-select.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { compareNodes } from "../../spack/query/select.ts";
import { fitsHost, type HostArchitecture } from "../../spack/spec/fits-host.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { OperationOptions } from "../../target/target.ts";
import { Stop } from "../../util/stop.ts";
import { type SpecRow, specRow } from "../store/spec-row.ts";
import { askInOrder, throwUnasked } from "./ask-in-order.ts";
import { isToldByTags, notTold, tagSatisfies } from "./find-cached.ts";

/** The options of `list`. */
export interface ListOptions extends OperationOptions {
  readonly queries: readonly SpecQuery[];
  /** Only specs that this machine can run. Default: all specs. */
  readonly host?: HostArchitecture | undefined;
  /** Read the tags instead of the index. */
  readonly fromTags?: boolean | undefined;
  /** Only specs that no other spec of the cache depends on, or only the others. */
  readonly roots?: boolean | undefined;
  /** Queries that a spec satisfies, also one for another machine, are removed from this set. */
  readonly unmatched?: Set<SpecQuery> | undefined;
  /** Formats each spec, as far as its whole node is known. */
  readonly format?: ((node: SpecNode) => string) | undefined;
}

/** A spec of a list, with the first cache that has it if there are several. */
export type ListedSpec = SpecRow & { cache?: string; text?: string };

/** The report of `list`. */
export interface ListReport {
  /** The name of the cache; several are separated by commas. */
  cache: string;
  /** The source of the list; tags contain only names, versions and hashes. */
  source: "index" | "tags";
  specs: ListedSpec[];
  /** How many other specs match, for other kinds of machines. */
  otherArchitectures: number;
}

/**
 * Lists the specs that satisfy any of the queries, or all without queries. Uses the tags of a cache without an index.
 * Throws USAGE for queries that tags cannot answer, NOT_FOUND, and what reading the index throws.
 */
export async function list(cache: ReadCache, options: ListOptions): Promise<ListReport> {
  const { fromTags, signal } = options;
  const index = fromTags ? undefined : await cache.readIndex({ signal });
  return index === undefined
    ? listTagged(cache.name, await cache.list({ signal }), options)
    : listRecords(cache.name, index, options);
}

function listRecords(
  cache: string,
  index: CacheIndex,
  { queries, host, format, unmatched, roots }: ListOptions,
): ListReport {
  const rowOf = (node: SpecNode): ListedSpec =>
    format === undefined ? specRow(node) : { ...specRow(node), text: format(node) };
  const fitting = (node: SpecNode) => (fitsHost(node, host) ? rowOf(node) : undefined);
  const isWanted = roots === undefined ? undefined : rootFilter(index, roots);
  const found = listIndexed(index, queries, cache, fitting, unmatched, isWanted);
  const specs = found.filter((row) => row !== undefined);
  return { cache, source: "index", specs, otherArchitectures: found.length - specs.length };
}

// A cache does not say what was asked for by name; what nothing in it needs is the nearest.
function rootFilter(index: CacheIndex, roots: boolean): (hash: string) => boolean {
  const needed = new Set<string>();
  for (const { inBuildcache, dependencies } of index.records.values())
    if (inBuildcache) for (const hash of dependencies) needed.add(hash);
  return (hash) => needed.has(hash) !== roots;
}

function listTagged(cache: string, listing: CacheListing, { queries, unmatched, roots }: ListOptions): ListReport {
  if (roots !== undefined)
    throw new StaveError("USAGE", `the tags of ${cache} do not tell which specs depend on others`, {
      subject: cache,
      hint: `make an index with \`stave index ${cache}\``,
    });
  const tagged = [...listing.specs.values()];
  for (const query of queries) if (tagged.length > 0 && !isToldByTags(query)) throw notTold(query);
  const found = tagged.filter((spec) => queries.length === 0 || queries.some((query) => tagSatisfies(spec, query)));
  for (const query of unmatched ?? []) if (found.some((spec) => tagSatisfies(spec, query))) unmatched?.delete(query);
  const specs = found.sort(compareNodes).map(({ name, version, hash, tag }) => ({
    ...{ name, version, hash, tag, variants: "" },
    ...{ namespace: undefined, architecture: undefined, compiler: undefined },
  }));
  return { cache, source: "tags", specs, otherArchitectures: 0 };
}

/** The report for several caches. */
export interface ListAllReport extends ListReport {
  specs: ListedSpec[];
  /** Caches without an index, whose tags were read. */
  readonly withoutIndex: string[];
  /** The tags of specs that a cache's index lacks. */
  readonly unindexed: { readonly cache: string; readonly tags: readonly string[] }[];
  /** Why caches could not be read. */
  readonly failures: readonly StaveError[];
}

/**
 * Lists the specs of several caches, each once, from the first cache that has it. A cache that does not exist counts as
 * empty. Failures of some caches are in the report. Throws if no cache can be listed.
 */
export async function listAll(caches: readonly ReadCache[], options: ListOptions): Promise<ListAllReport> {
  const reports: ListReport[] = [];
  const unindexed: ListAllReport["unindexed"] = [];
  const { failures } = await askInOrder(caches, async (cache) => {
    const { report, missing } = await listBeside(cache, options);
    reports.push(report);
    if (missing.length > 0) unindexed.push({ cache: cache.name, tags: missing });
    return undefined;
  });
  const [only] = reports;
  if (only === undefined) throwUnasked(failures, caches.length);
  const rows = new Map<string, ListedSpec>();
  for (const { cache, specs } of reports)
    for (const row of specs) if (!rows.has(row.hash)) rows.set(row.hash, caches.length > 1 ? { ...row, cache } : row);
  return {
    cache: caches.map(({ name }) => name).join(", "),
    source: reports.every(({ source }) => source === "tags") ? "tags" : "index",
    specs: reports.length === 1 ? [...rows.values()] : [...rows.values()].sort(compareNodes),
    otherArchitectures: reports.reduce((sum, { otherArchitectures }) => sum + otherArchitectures, 0),
    unindexed,
    withoutIndex: reports.flatMap(({ cache, source, specs }) =>
      source === "tags" && !options.fromTags && specs.length > 0 ? [cache] : [],
    ),
    failures: failures.filter(({ code }) => code !== "NOT_FOUND"),
  };
}

/** Larger indexes are not compared with the tags, of which there are a thousand for each request. */
const COMPARED = 5000;

// The list of one cache, with the tags that its index lacks. If the registry refuses to list tags, the index suffices.
async function listBeside(
  cache: ReadCache,
  options: ListOptions,
): Promise<{ report: ListReport; missing: readonly string[] }> {
  const { fromTags, signal } = options;
  if (fromTags) return { report: await list(cache, options), missing: [] };
  const stop = new Stop(signal);
  const listed = listOrRefusal(cache, stop.signal);
  // Its failure counts only where the list is needed.
  listed.catch(() => {});
  try {
    const index = await cache.readIndex({ signal });
    if (index !== undefined && index.records.size > COMPARED)
      return { report: listRecords(cache.name, index, options), missing: [] };
    const listing = await listed;
    if (listing instanceof StaveError) {
      if (index === undefined) throw await orRegistry(cache, listing, { signal });
      return { report: listRecords(cache.name, index, options), missing: [] };
    }
    if (index === undefined) return { report: listTagged(cache.name, listing, options), missing: [] };
    const missing = [...listing.specs.values()].filter(({ hash }) => index.records.get(hash)?.inBuildcache !== true);
    return { report: listRecords(cache.name, index, options), missing: missing.map(({ tag }) => tag) };
  } finally {
    // Ends the listing if it still runs.
    stop.end(new Error("the list is not needed"));
  }
}

async function listOrRefusal(cache: ReadCache, signal: AbortSignal): Promise<CacheListing | StaveError> {
  if (!cache.can.list) return lacks(cache, "list");
  try {
    return await cache.list({ signal });
  } catch (error) {
    if (isStaveError(error, "DENIED", "CREDENTIALS_MISSING", "CREDENTIALS_REJECTED", "UNSUPPORTED")) return error;
    throw error;
  }
}
