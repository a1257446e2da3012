// Finds the specs of a cache that match a query: in the index, else by the tags.
import { lacks, orRegistry, type ReadCache } from "../../cache/cache.ts";
import { indexedSpecs } from "../../cache/index-select.ts";
import type { TaggedSpec } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { printQuery, type SpecQuery } from "../../spack/query/query.ts";
import { select } from "../../spack/query/select.ts";
import { versionSatisfies } from "../../spack/query/version-range.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { isDagHash } from "../../spack/spec/node-reader.ts";
import { type NamedSpec, specTag } from "../../spack/spec/spec-name.ts";
import type { OperationOptions } from "../../target/target.ts";

/** True if a query contains only a name, a version and a hash. */
export function isToldByTags({ namespace, file, variants, flags, platform, os, target, edges }: SpecQuery): boolean {
  const others = [namespace, file, platform, os, target];
  return others.every((part) => part === undefined) && variants.size + flags.size + edges.length === 0;
}

/** True if a tag belongs to a spec that matches. */
export function tagSatisfies({ name, version, hash }: TaggedSpec, query: SpecQuery): boolean {
  if (query.name !== undefined && query.name !== name) return false;
  if (query.hash !== undefined && !hash.startsWith(query.hash)) return false;
  return query.versions === undefined || (version !== "" && versionSatisfies(version, query.versions));
}

/** The error for a query that tags cannot answer. */
export function notTold(query: SpecQuery): StaveError {
  return new StaveError("USAGE", `tags alone cannot show whether a spec is ${printQuery(query)}`, {
    hint: "ask for a name, a version or a hash, or make an index with `stave index`",
  });
}

/** The only spec that can satisfy a query, if the query has its name, version and whole hash, and nothing else. */
export function specNamedBy(query: SpecQuery): NamedSpec | undefined {
  const { name, hash, versions } = query;
  const [version, ...others] = versions ?? [];
  if (name === undefined || hash === undefined || !isDagHash(hash) || version === undefined) return undefined;
  if (others.length > 0 || !isToldByTags(query)) return undefined;
  if (version.kind === "git") return { name, version: version.text, hash };
  const [low, high] = version.kind === "exact" ? [version.version, version.version] : [version.low, version.high];
  return low.text === high.text ? { name, version: low.text, hash } : undefined;
}

/** A spec that satisfies a query: its tag and, if the index has it, its node. */
export interface FoundSpec {
  readonly tag: string;
  readonly node: SpecNode | undefined;
}

/**
 * The specs that satisfy a query. A spec may be tagged without being in the index. Throws USAGE if the query needs an
 * index and there is none, UNSUPPORTED if the cache can neither be listed nor has an index.
 */
export async function findCached(
  cache: Pick<ReadCache, "name" | "can" | "has" | "list" | "readIndex" | "asRegistry">,
  query: SpecQuery,
  options: OperationOptions,
): Promise<FoundSpec[]> {
  const named = specNamedBy(query);
  if (named !== undefined) {
    const tag = specTag(named);
    if (await cache.has(tag, { ...options, named })) return [{ tag, node: undefined }];
  }
  // The tag contains the hash, so this needs no index, which could be out of date.
  const isTold = query.hash !== undefined && isToldByTags(query) && cache.can.list;
  const index = isTold ? undefined : await cache.readIndex(options);
  if (index !== undefined) {
    const found = select(indexedSpecs(index, [query], cache.name), [query]);
    if (found.length > 0 || !isToldByTags(query) || !cache.can.list)
      return found.map((node) => ({ tag: specTag(node), node }));
  }
  if (!cache.can.list) throw await orRegistry(cache, lacks(cache, "list"), options);
  const { specs } = await cache.list(options);
  if (specs.size > 0 && !isToldByTags(query)) throw notTold(query);
  return [...specs.values()].filter((spec) => tagSatisfies(spec, query)).map(({ tag }) => ({ tag, node: undefined }));
}
