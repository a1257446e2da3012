// Finds specs in a cache index by queries, creating nodes only for the records that the queries need.

import type { SpecQuery } from "../spack/query/query.ts";
import { compareNodes, select } from "../spack/query/select.ts";
import { graphOf } from "../spack/spec/graph.ts";
import type { SpecGraph, SpecNode } from "../spack/spec/node.ts";
import { type CacheIndex, graphOfRecords } from "./index-read.ts";
import { type IndexRecord, lonelyNode } from "./record.ts";

/** The specs of an index that have a binary and may match. */
export interface IndexedSpecs {
  readonly nodes: readonly SpecNode[];
  /** Contains all dependencies of the nodes. */
  readonly graph: SpecGraph;
  readonly place: string;
}

/** The candidates for some queries, with their DAGs: specs with the queried names, or all if a query has no name. */
export function indexedSpecs(index: CacheIndex, queries: readonly SpecQuery[], place: string): IndexedSpecs {
  const chosen = [...candidates(index, queries)];
  const hashes = chosen.map((record) => record.hash);
  const graph = graphOfRecords(hashes, (hash) => index.records.get(hash), place);
  const nodes = hashes.map((hash) => graph.get(hash)).filter((node) => node !== undefined);
  return { nodes, graph, place };
}

/**
 * Calls `row` for every spec with a binary that satisfies any query (all specs without queries); returns the rows in
 * list order. Of a node's dependencies, `row` may use only the names and versions of those that provide a virtual
 * package; others may be missing. Queries that a spec satisfies are removed from `unmatched`.
 */
export function listIndexed<T>(
  index: CacheIndex,
  queries: readonly SpecQuery[],
  place: string,
  row: (node: SpecNode) => T,
  unmatched?: Set<SpecQuery>,
  isWanted: (hash: string) => boolean = () => true,
): T[] {
  const rows: { node: Pick<SpecNode, "name" | "version" | "hash">; row: T }[] = [];
  const add = (node: SpecNode): void => {
    const { name, version, hash } = node;
    if (!isWanted(hash)) return;
    rows.push({ node: { name, version, hash }, row: row(node) });
  };
  // A name that is no package's may be a virtual package, which only the edges of other nodes reveal.
  const isOfPackages = isNarrow(index, queries);
  if (queries.some((query) => needsGraph(query) || (query.name !== undefined && !isOfPackages)))
    for (const node of select(indexedSpecs(index, queries, place), queries, unmatched)) add(node);
  // One at a time: all at once would take several times the memory of the index.
  else {
    for (const record of candidates(index, queries)) {
      const node = lonelyNode(record, (hash) => index.records.get(hash), place);
      if (queries.length === 0) add(node);
      else
        for (const chosen of select({ nodes: [node], graph: graphOf([node]), place }, queries, unmatched)) add(chosen);
    }
  }
  return rows.sort((a, b) => compareNodes(a.node, b.node)).map((one) => one.row);
}

// The package name is by far the most selective part of a query; a name without records may be a virtual package.
function* candidates(index: CacheIndex, queries: readonly SpecQuery[]): Iterable<IndexRecord> {
  const names = isNarrow(index, queries) ? new Set(queries.map((query) => query.name)) : undefined;
  for (const record of index.records.values())
    if (record.inBuildcache && (names === undefined || names.has(record.name))) yield record;
}

function isNarrow(index: CacheIndex, queries: readonly SpecQuery[]): boolean {
  if (queries.length === 0) return false;
  const missing = new Set(queries.map((query) => query.name));
  for (const { name } of index.records.values()) if (missing.delete(name) && missing.size === 0) return true;
  return missing.size === 0;
}

// True if a node alone cannot answer the query.
function needsGraph({ edges, variants }: SpecQuery): boolean {
  return edges.length > 0 || [...variants.values()].some((variant) => variant.propagated);
}
