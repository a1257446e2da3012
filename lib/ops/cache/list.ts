// `list`: the specs of a build cache, from its index or from its tags alone.
import type { ReadCache } from "../../cache/cache.ts";
import { listIndexed } from "../../cache/index-select.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { compareNodes } from "../../spack/query/select.ts";
import type { OperationOptions } from "../../target/target.ts";
import { type SpecRow, specRow } from "../store/spec-row.ts";
import { isToldByTags, notTold, tagSatisfies } from "./find-cached.ts";

export interface ListOptions extends OperationOptions {
  readonly queries: readonly SpecQuery[];
  /** Only specs of exactly this `platform-os-target`; undefined parts match anything. Default: all specs. */
  readonly only?: Architecture | undefined;
  /** Read the tags instead of the index. */
  readonly fromTags?: boolean | undefined;
}

export interface Architecture {
  readonly platform: string;
  readonly os: string | undefined;
  readonly target: string | undefined;
}

export interface ListReport {
  cache: string;
  /** The source of the list; tags contain only names, versions and hashes. */
  source: "index" | "tags";
  specs: SpecRow[];
  /** How many other specs match, for other architectures. */
  otherArchitectures: number;
}

/**
 * Lists the specs that satisfy any of the queries, or all without queries. Uses the tags of a cache without an index. Throws
 * USAGE for queries that tags cannot answer, NOT_FOUND, and what reading the index throws.
 */
export async function list(cache: ReadCache, options: ListOptions): Promise<ListReport> {
  const { queries, only, fromTags = false, signal } = options;
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
  const found = listIndexed(index, queries, cache.name, (node) => {
    const fits =
      only === undefined ||
      (node.platform === only.platform &&
        (only.os === undefined || node.os === only.os) &&
        (only.target === undefined || node.target === only.target));
    return fits ? specRow(node) : undefined;
  });
  const specs = found.filter((row) => row !== undefined);
  return { cache: cache.name, source: "index", specs, otherArchitectures: found.length - specs.length };
}

function listTagged(tagged: readonly TaggedSpec[], queries: readonly SpecQuery[]): SpecRow[] {
  for (const query of queries) if (tagged.length > 0 && !isToldByTags(query)) throw notTold(query);
  const found = tagged.filter((spec) => queries.length === 0 || queries.some((query) => tagSatisfies(spec, query)));
  return found.sort(compareNodes).map(({ name, version, hash, tag }) => ({
    ...{ name, version, hash, tag, variants: "" },
    ...{ namespace: undefined, architecture: undefined, compiler: undefined },
  }));
}
