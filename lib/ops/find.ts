// `find`: what is installed, as groups and rows.
import type { SpecNode } from "../spack/node.ts";
import type { SpecQuery } from "../spack/query.ts";
import { select } from "../spack/select.ts";
import type { Store } from "../spack/store.ts";
import { type SpecRow, specRow } from "./spec-row.ts";

/** One installed spec. */
export interface FoundSpec extends SpecRow {
  prefix: string | null;
  explicit: boolean;
  external: boolean;
  /** Seconds since the epoch. */
  installationTime: number | undefined;
  /** Hashes of the direct dependencies. */
  dependencies: string[];
}

export interface FindReport {
  store: string;
  specs: FoundSpec[];
}

/** Finds the installed specs that satisfy any of the queries, all of them without queries. Externals count as installed. */
export function find(store: Store, queries: readonly SpecQuery[]): FindReport {
  const { graph } = store.database;
  const named = new Set(queries.map((query) => query.name));
  // Names are by far the most selective part of a query, so records of other names are not looked at.
  const onlyNames = queries.length > 0 && !named.has(undefined);
  const records = [...store.records()].filter((record) => record.installed);
  const nodes = records
    .map((record) => record.node)
    .filter(
      (node) => !onlyNames || named.has(node.name) || [...graph.virtualsOf(node)].some((name) => named.has(name)),
    );
  const chosen = select({ nodes, graph, place: `the store ${store.root}` }, queries);
  return { store: store.root, specs: chosen.map((node) => foundSpec(node, store)) };
}

function foundSpec(node: SpecNode, store: Store): FoundSpec {
  const record = store.get(node.hash);
  return {
    ...specRow(node),
    prefix: record?.path ?? null,
    explicit: record?.explicit ?? false,
    external: node.external !== undefined,
    installationTime: record?.installationTime,
    dependencies: node.edges.map((edge) => edge.child.hash),
  };
}
