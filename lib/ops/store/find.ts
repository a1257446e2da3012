// `find`: lists what is installed.

import type { SpecQuery } from "../../spack/query/query.ts";
import { select } from "../../spack/query/select.ts";
import type { Lockfile } from "../../spack/spec/lockfile.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
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

/** Which of the installed specs to find. */
export interface FindOptions {
  /** Only the specs of this environment, with a list of its roots. */
  readonly environment?: Lockfile | undefined;
  /** Only specs that were asked for, or only those that were not. */
  readonly explicit?: boolean | undefined;
  /** Queries that a spec satisfies are removed from this set. */
  readonly unmatched?: Set<SpecQuery> | undefined;
}

/** A root of an environment. */
export interface FoundRoot {
  name: string;
  version: string;
  hash: string;
  /** The spec as written in spack.yaml. */
  spec: string;
  installed: boolean;
}

/** The report of `find`. */
export interface FindReport {
  store: string;
  /** The roots of the environment, if the search was limited to one. */
  roots?: FoundRoot[];
  specs: FoundSpec[];
}

/**
 * Finds the installed specs that satisfy any of the queries, or all without queries. For an environment, finds only its
 * specs, and lists its roots. Externals count as installed.
 */
export function find(
  store: Store,
  queries: readonly SpecQuery[],
  { environment, explicit, unmatched }: FindOptions = {},
): FindReport {
  const { graph } = store.database;
  const named = new Set(queries.map((query) => query.name));
  // Names are by far the most selective part of a query, so skip records with other names.
  const onlyNames = queries.length > 0 && !named.has(undefined);
  const records = [...store.records()].filter(
    (record) =>
      record.installed && isOf(environment, record.node) && (explicit === undefined || record.explicit === explicit),
  );
  const nodes = records
    .map((record) => record.node)
    .filter(
      (node) => !onlyNames || named.has(node.name) || [...graph.virtualsOf(node)].some((name) => named.has(name)),
    );
  const chosen = select({ nodes, graph, place: `the store ${store.root}` }, queries, unmatched);
  const specs = chosen.map((node) => foundSpec(node, store));
  if (environment === undefined) return { store: store.root, specs };
  const roots = environment.roots.map(({ node: { name, version, hash }, spec }): FoundRoot => {
    return { name, version, hash, spec, installed: store.get(hash)?.installed ?? false };
  });
  return { store: store.root, roots, specs };
}

const isOf = (environment: Lockfile | undefined, { hash }: SpecNode): boolean =>
  environment === undefined || environment.graph.get(hash) !== undefined;

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
