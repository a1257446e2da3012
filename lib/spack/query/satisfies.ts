// Decides whether a concrete spec satisfies a query (Spack `Spec.satisfies`) without package recipes: a name matches a
// virtual package if an edge says so, and versions of virtual packages are unknown.
import { StaveError } from "../../errors.ts";
import { BUILD, type Edge, LINK, RUN, type SpecGraph, type SpecNode, type VariantValue } from "../spec/node.ts";
import { findDependency } from "../spec/spec-format.ts";
import type { QueryEdge, SpecQuery, VariantQuery } from "./query.ts";
import { targetSatisfies } from "./target-range.ts";
import { versionSatisfies } from "./version-range.ts";

/** True if a concrete spec of a graph satisfies the query. */
export function satisfies(node: SpecNode, graph: SpecGraph, query: SpecQuery): boolean {
  if (query.file !== undefined)
    throw new StaveError("SPEC_INVALID", `the spec file ${query.file} stands for a spec, but was not read`);
  if (query.hash !== undefined && !node.hash.startsWith(query.hash)) return false;
  if (query.name !== undefined && query.name !== node.name)
    return query.versions === undefined && graph.virtualsOf(node).has(query.name);
  if (!nodeSatisfies(node, query)) return false;
  if (query.edges.length === 0) return true;
  const reach = new Reach(node);
  return query.edges.every(
    (edge) =>
      edgeSatisfied(node, graph, edge, reach, undefined) &&
      // The `%` after a `^` refer to the first such node.
      edge.child.edges.every((inner) => edgeSatisfied(node, graph, inner, reach, edge.child.name)),
  );
}

// Checks everything except the name, the hash and the edges.
function nodeSatisfies(node: SpecNode, query: SpecQuery): boolean {
  const { namespace, versions } = query;
  if (namespace !== undefined && node.namespace !== undefined && namespace !== node.namespace) return false;
  if (versions && !versionSatisfies(node.version, versions)) return false;
  return variantsSatisfy(node, query) && architectureSatisfies(node, query) && flagsSatisfy(node, query);
}

function variantsSatisfy(node: SpecNode, query: SpecQuery): boolean {
  const propagated: [string, VariantQuery][] = [];
  for (const [name, variant] of query.variants) {
    const value = node.variants.get(name);
    if (variant.propagated) propagated.push([name, variant]);
    else if (value === undefined || !variantSatisfies(name, value, variant)) return false;
  }
  if (propagated.length === 0) return true;
  const all = new Set([node]);
  for (const one of all) {
    for (const [name, variant] of propagated) {
      const value = one.variants.get(name);
      if (value !== undefined && !variantSatisfies(name, value, variant)) return false;
    }
    for (const { child } of one.edges) all.add(child);
  }
  return true;
}

function variantSatisfies(name: string, value: VariantValue, { value: asked, exact }: VariantQuery): boolean {
  if (asked === undefined) return true;
  if (typeof asked === "boolean" || typeof value === "boolean") return value === asked;
  const has = new Set(typeof value === "string" ? [value] : value);
  // A single-valued variant's value may contain commas, at which a query splits.
  if (exact) return has.size === new Set(asked).size && asked.every((one) => has.has(one));
  if (name === "patches") return asked.every((one) => [...has].some((hash) => hash.startsWith(one)));
  return asked.every((one) => has.has(one));
}

function architectureSatisfies(node: SpecNode, { platform, os, target }: SpecQuery): boolean {
  // A star ends the comparison, as in Spack.
  if (platform === "*") return true;
  if (platform !== undefined && platform !== node.platform) return false;
  if (os === "*") return true;
  if (os !== undefined && os !== node.os) return false;
  return target === undefined || targetSatisfies(node.target, target);
}

/** Splits flags as Spack does: a word without a leading dash belongs to the flag before it (`compilers/flags.py`). */
export function splitFlags(text: string): string[] {
  const flags: string[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const last = flags.at(-1);
    if (last === undefined || word.startsWith("-")) flags.push(word);
    else flags[flags.length - 1] = `${last} ${word}`;
  }
  return flags;
}

function flagsSatisfy(node: SpecNode, query: SpecQuery): boolean {
  for (const [kind, asked] of query.flags) {
    const has = new Set(node.flags.get(kind));
    if (!asked.every(({ text }) => splitFlags(text).every((flag) => has.has(flag)))) return false;
  }
  return true;
}

// The edges visible to `^`: all link and run edges below a node, and its own build edges. Found lazily, nearest first,
// and cached.
class Reach {
  readonly #edges: Edge[];
  readonly #nodes: Set<SpecNode>;
  readonly #waiting: Iterator<SpecNode>;

  constructor(root: SpecNode) {
    this.#edges = root.edges.filter((edge) => (edge.types & BUILD) !== 0);
    this.#nodes = new Set([root]);
    this.#waiting = this.#nodes.values();
  }

  *edges(): Generator<Edge, void> {
    for (let at = 0; ; at++) {
      while (at >= this.#edges.length) {
        const node = this.#waiting.next();
        if (node.done) return;
        this.#expand(node.value);
      }
      const edge = this.#edges[at];
      if (edge) yield edge;
    }
  }

  #expand(node: SpecNode): void {
    for (const edge of node.edges) {
      if ((edge.types & (LINK | RUN)) === 0) continue;
      this.#edges.push(edge);
      this.#nodes.add(edge.child);
    }
  }
}

// `parent` is the name of the `^` before a `%`.
function edgeSatisfied(
  node: SpecNode,
  graph: SpecGraph,
  edge: QueryEdge,
  reach: Reach,
  parent: string | undefined,
): boolean {
  const at = parent === undefined || parent === node.name ? node : findDependency(node, parent);
  if (edge.when && at && !satisfies(at, graph, edge.when)) return true;
  if (!edge.direct) return belowSatisfied(edge, reach);
  // `gcc@13 %gcc@12` refers to two nodes with the same name.
  const from = parent !== undefined && parent === edge.child.name ? node : at;
  return from !== undefined && directSatisfied(from, edge);
}

// Some edge must lead to a matching child, and each virtual must be on some edge with the requested name.
function belowSatisfied({ child, virtuals }: QueryEdge, reach: Reach): boolean {
  const { name } = child;
  const missing = new Set(virtuals);
  let found = false;
  for (const edge of reach.edges()) {
    if (name !== undefined && edge.child.name !== name && !edge.virtuals.includes(name)) continue;
    missing.delete(edge.child.name);
    for (const virtual of edge.virtuals) missing.delete(virtual);
    found ||= childSatisfies(edge, child);
    if (found && missing.size === 0) return true;
  }
  return false;
}

// The child of an edge that has the requested name, as a package or a virtual.
function childSatisfies(edge: Edge, query: SpecQuery): boolean {
  const { child } = edge;
  if (query.file !== undefined)
    throw new StaveError("SPEC_INVALID", `the spec file ${query.file} stands for a spec, but was not read`);
  if (query.hash !== undefined && !child.hash.startsWith(query.hash)) return false;
  if (query.name !== undefined && query.name !== child.name)
    return query.versions === undefined && edge.virtuals.includes(query.name);
  return nodeSatisfies(child, query);
}

function directSatisfied(node: SpecNode, { child, virtuals, types }: QueryEdge): boolean {
  // Old specs, and externals without dependencies, have their compiler as an attribute.
  if (node.format < 5 || (node.external && node.edges.length === 0)) return compilerSatisfies(node.compiler, child);
  const { name } = child;
  const named = name === undefined ? node.edges : node.edges.filter((edge) => edge.child.name === name);
  const carries = (edge: Edge, any: readonly string[]): boolean => any.some((one) => edge.virtuals.includes(one));
  const candidates =
    name !== undefined && named.length === 0
      ? node.edges.filter((edge) => carries(edge, [...virtuals, name]))
      : named.filter((edge) => virtuals.length === 0 || carries(edge, virtuals));
  return candidates.some((edge) => (edge.types & types) === types && childSatisfies(edge, child));
}

function compilerSatisfies(compiler: SpecNode["compiler"], query: SpecQuery): boolean {
  if (!compiler) return false;
  const { name, namespace, versions, variants, flags, platform, os, target, hash } = query;
  if (namespace !== undefined || hash !== undefined || platform !== undefined) return false;
  if (variants.size > 0 || flags.size > 0 || os !== undefined || target !== undefined) return false;
  // Accept a compiler's old and new names; queries already use the new one.
  if (name !== undefined && name !== compiler.name && name !== packageOfCompiler(compiler.name)) return false;
  return versions === undefined || versionSatisfies(compiler.version, versions);
}

// Compilers with other names before Spack 1.0 (`aliases.py`).
const COMPILER_PACKAGES: ReadonlyMap<string, string> = new Map([
  ["clang", "llvm"],
  ["oneapi", "intel-oneapi-compilers"],
  ["rocmcc", "llvm-amdgpu"],
  ["intel", "intel-oneapi-compilers-classic"],
  ["arm", "acfl"],
]);

/** The package of a compiler, which may be given by its name before Spack 1.0: `clang` is `llvm`. */
export function packageOfCompiler(name: string): string {
  return COMPILER_PACKAGES.get(name) ?? name;
}
