// `find`: what is installed, as groups and rows.
import { compilerOf, flagsText, variantText } from "../spack/format.ts";
import { specTag } from "../spack/name.ts";
import type { SpecNode } from "../spack/node.ts";
import type { SpecQuery } from "../spack/query.ts";
import { select } from "../spack/select.ts";
import type { Store } from "../spack/store.ts";

/** One installed spec. */
export interface FoundSpec {
  name: string;
  version: string;
  hash: string;
  namespace: string | undefined;
  /** `platform-os-target`. */
  architecture: string;
  compiler: string | undefined;
  /** Variants and flags as Spack writes them. */
  variants: string;
  prefix: string | null;
  explicit: boolean;
  external: boolean;
  /** Seconds since the epoch. */
  installationTime: number | undefined;
  tag: string;
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
  const compiler = compilerOf(node);
  return {
    name: node.name,
    version: node.version,
    hash: node.hash,
    namespace: node.namespace,
    architecture: `${node.platform}-${node.os}-${node.target}`,
    compiler: compiler && `${compiler.name}@${compiler.version}`,
    variants: `${flagsText(node) ?? ""}${variantText(node) ?? ""}`.trim(),
    prefix: record?.path ?? null,
    explicit: record?.explicit ?? false,
    external: node.external !== undefined,
    installationTime: record?.installationTime,
    tag: specTag(node),
    dependencies: node.edges.map((edge) => edge.child.hash),
  };
}
