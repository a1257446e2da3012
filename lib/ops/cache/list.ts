// `list`: the specs of a build cache, from its index or from its tags alone.
import type { ReadCache } from "../../cache/cache.ts";
import { listIndexed } from "../../cache/index-select.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import type { StaveError } from "../../errors.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { compareNodes } from "../../spack/query/select.ts";
import { fitsHost, type HostArchitecture } from "../../spack/spec/fits-host.ts";
import type { OperationOptions } from "../../target/target.ts";
import { type SpecRow, specRow } from "../store/spec-row.ts";
import { askInOrder, throwUnasked } from "./ask-in-order.ts";
import { isToldByTags, notTold, tagSatisfies } from "./find-cached.ts";

/** The options of `list`. */
export interface ListOptions extends OperationOptions {
  readonly queries: readonly SpecQuery[];
  /** Only specs that this machine runs. Default: all specs. */
  readonly host?: HostArchitecture | undefined;
  /** Read the tags instead of the index. */
  readonly fromTags?: boolean | undefined;
}

/** A spec of a list; with several caches it names the first one that has it. */
export type ListedSpec = SpecRow & { cache?: string };

/** The report of `list`. */
export interface ListReport {
  /** The name of the cache; of several, separated by commas. */
  cache: string;
  /** The source of the list; tags contain only names, versions and hashes. */
  source: "index" | "tags";
  specs: ListedSpec[];
  /** How many other specs match, for machines of other kinds. */
  otherArchitectures: number;
}

/**
 * Lists the specs that satisfy any of the queries, or all without queries. Uses the tags of a cache without an index.
 * Throws USAGE for queries that tags cannot answer, NOT_FOUND, and what reading the index throws.
 */
export async function list(cache: ReadCache, options: ListOptions): Promise<ListReport> {
  const { queries, host, fromTags = false, signal } = options;
  const index = fromTags ? undefined : await cache.readIndex({ signal });
  if (index === undefined) {
    const { specs } = await cache.list({ signal });
    return {
      cache: cache.name,
      source: "tags",
      specs: listTagged([...specs.values()], queries),
      otherArchitectures: 0,
    };
  }
  const found = listIndexed(index, queries, cache.name, (node) => (fitsHost(node, host) ? specRow(node) : undefined));
  const specs = found.filter((row) => row !== undefined);
  return { cache: cache.name, source: "index", specs, otherArchitectures: found.length - specs.length };
}

/** What several caches have together. */
export interface ListAllReport extends ListReport {
  /** Caches without an index, of which the tags were read. */
  readonly withoutIndex: string[];
  /** Why caches could not be asked. */
  readonly failures: readonly StaveError[];
}

/**
 * Lists the specs of several caches, each once, from the first that has it. A cache that does not exist has none.
 * Failures of some caches are in the report. Throws if no cache can be listed.
 */
export async function listAll(caches: readonly ReadCache[], options: ListOptions): Promise<ListAllReport> {
  const reports: ListReport[] = [];
  const { failures } = await askInOrder(caches, async (cache) => {
    reports.push(await list(cache, options));
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
    withoutIndex: reports.flatMap(({ cache, source, specs }) =>
      source === "tags" && !options.fromTags && specs.length > 0 ? [cache] : [],
    ),
    failures: failures.filter(({ code }) => code !== "NOT_FOUND"),
  };
}

function listTagged(tagged: readonly TaggedSpec[], queries: readonly SpecQuery[]): SpecRow[] {
  for (const query of queries) if (tagged.length > 0 && !isToldByTags(query)) throw notTold(query);
  const found = tagged.filter((spec) => queries.length === 0 || queries.some((query) => tagSatisfies(spec, query)));
  return found.sort(compareNodes).map(({ name, version, hash, tag }) => ({
    ...{ name, version, hash, tag, variants: "" },
    ...{ namespace: undefined, architecture: undefined, compiler: undefined },
  }));
}
