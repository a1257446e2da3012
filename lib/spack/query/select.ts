// Selects concrete specs by queries, and suggests near matches if too few or too many are found.
import { StaveError } from "../../errors.ts";
import type { SpecGraph, SpecNode } from "../spec/node.ts";
import { shortName } from "../spec/spec-name.ts";
import { printQuery, type SpecQuery } from "./query.ts";
import { satisfies } from "./satisfies.ts";
import { similarNames } from "./similar-names.ts";
import { compareConcrete } from "./version-range.ts";

/** The specs to select from, and their name in messages. */
export interface Candidates {
  readonly nodes: Iterable<SpecNode>;
  readonly graph: SpecGraph;
  /** For instance `the store /opt/spack`. */
  readonly place: string;
}

type NamedSpec = Pick<SpecNode, "name" | "version" | "hash">;

const LISTED = 10;

/**
 * All specs that satisfy any of the queries, without duplicates, sorted by name, version (newest last) and hash; every
 * spec if there are no queries. Queries that a spec satisfies are removed from `unmatched`.
 */
export function select(
  { nodes, graph }: Candidates,
  queries: readonly SpecQuery[],
  unmatched?: Set<SpecQuery>,
): SpecNode[] {
  const found: SpecNode[] = [];
  for (const node of nodes) {
    if (queries.length > 0 && !queries.some((query) => satisfies(node, graph, query))) continue;
    found.push(node);
    for (const query of unmatched ?? []) if (satisfies(node, graph, query)) unmatched?.delete(query);
  }
  return found.toSorted(compareNodes);
}

/** The specs that satisfy a query. Throws SPEC_ABSENT with near matches as a hint if there are none. */
export function selectSome(candidates: Candidates, query: SpecQuery): SpecNode[] {
  const found = select(candidates, [query]);
  if (found.length === 0) throw absent(candidates, query);
  return found;
}

/**
 * The only spec that satisfies a query. Throws SPEC_ABSENT if there is none, and USAGE with the candidates if there are
 * several.
 */
export function selectOne(candidates: Candidates, query: SpecQuery): SpecNode {
  const found = selectSome(candidates, query);
  const [only, second] = found;
  if (only && second === undefined) return only;
  const text = printQuery(query);
  throw new StaveError("USAGE", `${text} matches ${found.length} specs of ${candidates.place}: ${listed(found)}`, {
    subject: text,
    hint: `name one by its hash, for instance /${only?.hash.slice(0, 7)}`,
  });
}

/** The sort order of lists: by name, version (newest last) and hash. */
export function compareNodes(a: NamedSpec, b: NamedSpec): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return compareConcrete(a.version, b.version) || (a.hash < b.hash ? -1 : Number(a.hash > b.hash));
}

function listed(nodes: readonly SpecNode[]): string {
  const names = nodes.slice(0, LISTED).map(shortName);
  return nodes.length > LISTED ? `${names.join(", ")} and ${nodes.length - LISTED} more` : names.join(", ");
}

function absent(candidates: Candidates, query: SpecQuery): StaveError {
  const text = printQuery(query);
  return new StaveError("SPEC_ABSENT", `no spec of ${candidates.place} matches ${text}`, {
    subject: text,
    hint: explainAbsence(candidates, query) ?? "`stave find` lists what is there",
  });
}

/** Why a query matches nothing, or what was probably meant; undefined if there is nothing like it. */
export const explainAbsence = (candidates: Candidates, query: SpecQuery): string | undefined =>
  versionOfVirtual(candidates, query) ?? nearMisses(candidates, query);

/**
 * Explains a query for a version of a virtual package, also of a dependency: it matches nothing, because specs name the
 * virtual packages that they provide without versions. Only recipes have those. Undefined for other queries.
 */
export function versionOfVirtual(candidates: Candidates, query: SpecQuery): string | undefined {
  const { name, versions } = query;
  const nodes = [...candidates.nodes];
  if (name !== undefined && versions !== undefined && nodes.every((node) => node.name !== name)) {
    const providers = nodes.filter((node) => candidates.graph.virtualsOf(node).has(name)).toSorted(compareNodes);
    if (providers.length > 0)
      return `${name} is a virtual package, provided by ${listed(providers)}: leave out the version, which only recipes know`;
  }
  for (const { child } of query.edges) {
    const found = versionOfVirtual({ ...candidates, nodes }, child);
    if (found !== undefined) return found;
  }
  return undefined;
}

// Specs with only the name or the hash, else names that contain the requested one.
function nearMisses(candidates: Candidates, query: SpecQuery): string | undefined {
  const { name, hash } = query;
  if (name === undefined) return undefined;
  const named: SpecNode[] = [];
  const others = new Set<string>();
  for (const node of candidates.nodes) {
    if (node.name === name || candidates.graph.virtualsOf(node).has(name)) named.push(node);
    else others.add(node.name);
  }
  if (named.length > 0)
    return `there is ${listed(named.toSorted(compareNodes))}${hash === undefined ? "" : ", with another hash"}`;
  const similar = similarNames(name, others);
  if (similar.length === 0) return undefined;
  return `did you mean ${similar.slice(0, LISTED).join(", ")}?`;
}
