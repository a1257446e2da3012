// What a build cache of any kind has for one spec: its archive, its signature and its place in a DAG.
import type { ReadCache } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { LINK, RUN } from "../../spack/spec/node.ts";
import { edgesOf } from "../../spack/spec/traversal.ts";
import type { OperationOptions } from "../../target/target.ts";
import { findCached } from "./find-cached.ts";
import { nearMisses } from "./near-misses.ts";

/** The report on one spec of a cache. */
export interface CachedSpecReport {
  cache: string;
  name: string;
  version: string;
  hash: string;
  tag: string;
  architecture: string;
  archive: Descriptor;
  /** The digest of the uncompressed archive, if the cache records it. */
  diffId: string | undefined;
  /** It has a gpg signature, which was not checked. */
  isSigned: boolean;
  /** How many nodes its DAG has. */
  nodes: number;
  /** The names of its direct link and run dependencies. */
  dependencies: string[];
}

/** Describes the spec that a query names. Throws USAGE if it names several, SPEC_ABSENT if none. */
export async function inspectSpec(
  cache: ReadCache,
  query: SpecQuery,
  text: string,
  options: OperationOptions,
): Promise<CachedSpecReport> {
  const found = await findCached(cache, query, options);
  const [first] = found;
  if (first === undefined)
    throw new StaveError("SPEC_ABSENT", `${text} is not in ${cache.name}`, {
      subject: text,
      hint: (await nearMisses([cache], query, options)) ?? "`stave list -a` shows what is there",
    });
  if (found.length > 1)
    throw new StaveError("USAGE", `${text} matches ${found.length} specs in ${cache.name}`, {
      subject: text,
      hint: "name a version or a hash",
    });
  const { tag, node } = first;
  const { archive, diffId, document, isSigned = false } = await cache.fetchSpec(tag, { ...options, node });
  const { root, graph } = document;
  const { name, version, hash, platform, os, target } = root;
  return {
    ...{ cache: cache.name, name, version, hash, tag, architecture: `${platform}-${os}-${target}` },
    ...{ archive, diffId, isSigned, nodes: graph.size },
    dependencies: edgesOf(root, { types: LINK | RUN })
      .map(({ child }) => child.name)
      .sort(),
  };
}
