// Finds specs that are in a cache by a query: in its index, else by what its tags tell.
import type { ReadCache } from "../../cache/cache.ts";
import { indexedSpecs } from "../../cache/index-select.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { printQuery, type SpecQuery } from "../../spack/query/query.ts";
import { select } from "../../spack/query/select.ts";
import { versionSatisfies } from "../../spack/query/version-range.ts";
import { specTag } from "../../spack/spec/spec-name.ts";
import type { OperationOptions } from "../../target/target.ts";

/** Tells whether a name, a version and a hash are all that is asked for. */
export function isToldByTags({ namespace, file, variants, flags, platform, os, target, edges }: SpecQuery): boolean {
  const others = [namespace, file, platform, os, target];
  return others.every((part) => part === undefined) && variants.size + flags.size + edges.length === 0;
}

/** Tells whether a tag is that of a spec that is asked for. */
export function tagSatisfies({ name, version, hash }: TaggedSpec, query: SpecQuery): boolean {
  if (query.name !== undefined && query.name !== name) return false;
  if (query.hash !== undefined && !hash.startsWith(query.hash)) return false;
  return query.versions === undefined || (version !== "" && versionSatisfies(version, query.versions));
}

/** The error of a query that tags cannot answer. */
export function notTold(query: SpecQuery): StaveError {
  return new StaveError("USAGE", `tags do not tell whether a spec is ${printQuery(query)}`, {
    hint: "ask for a name, a version or a hash, or make an index with `stave index`",
  });
}

/**
 * The tags of the specs that satisfy a query. What the index does not know may still be tagged. Throws USAGE for a query that
 * only an index can answer where there is none.
 */
export async function findCached(cache: ReadCache, query: SpecQuery, options: OperationOptions): Promise<string[]> {
  // A hash is in the tag: no index is needed, and none can be out of date.
  const index = query.hash !== undefined && isToldByTags(query) ? undefined : await cache.readIndex(options);
  if (index !== undefined) {
    const found = select(indexedSpecs(index, [query], cache.name), [query]).map(specTag);
    if (found.length > 0 || !isToldByTags(query)) return found;
  }
  const { specs } = await cache.list(options);
  if (specs.size > 0 && !isToldByTags(query)) throw notTold(query);
  return [...specs.values()].filter((spec) => tagSatisfies(spec, query)).map(({ tag }) => tag);
}
