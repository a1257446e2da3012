// The dependencies in a spec text. Repeated requests for one package are merged as Spack does (`spec.py`,
// Spec._add_dependency for texts, Spec.constrain for toolchains).
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { ALL_TYPES, BUILD, LINK, RUN, TEST } from "../spec/node.ts";
import { ANY, printQuery, type QueryEdge, type SpecQuery } from "./query.ts";
import { merge } from "./query-merge.ts";

/** One edge, with the requirements on its child so far. */
export class Dependency {
  #edge: QueryEdge;
  /** The dependencies of the child. */
  readonly below: EdgeList;

  constructor(edge: QueryEdge) {
    this.below = new EdgeList(edge.child.edges);
    this.#edge = { ...edge, child: { ...edge.child, edges: [] } };
  }

  /** The edge, without the child's own edges. */
  get edge(): QueryEdge {
    return this.#edge;
  }

  /** Adds requirements on the child. Throws SPEC_INVALID if they conflict. */
  constrain(child: SpecQuery): void {
    this.#edge = { ...this.#edge, child: merge(this.#edge.child, child) };
  }

  /** Merges the requirements of another edge, except dependency types and kind. Throws SPEC_INVALID as `constrain`. */
  join({ child, virtuals }: QueryEdge): void {
    this.constrain(child);
    this.below.constrain(child.edges);
    this.#edge = { ...this.#edge, virtuals: [...new Set([...this.#edge.virtuals, ...virtuals])] };
  }

  /** Adds dependency types; a direct edge stays direct. */
  widen({ types, direct }: QueryEdge): void {
    this.#edge = { ...this.#edge, types: this.#edge.types | types, direct: this.#edge.direct || direct };
  }
}

/** Collects the edges of one parent. */
export class EdgeList {
  readonly #edges: Dependency[] = [];
  readonly #named = new Map<string, Dependency[]>();
  /** By name and condition; edges of the same package under the same condition differ in dependency types. */
  readonly #groups = new Map<string, Dependency[]>();

  /** Starts from edges that do not conflict. */
  constructor(edges: readonly QueryEdge[] = []) {
    for (const edge of edges) this.#append(edge, this.#group(edge));
  }

  /** The number of edges. */
  get size(): number {
    return this.#edges.length;
  }

  /**
   * Adds an edge of a text. Edges with the same package, condition and dependency types are merged into one. Throws
   * SPEC_INVALID if they conflict.
   */
  add(edge: QueryEdge): Dependency {
    const group = this.#group(edge);
    const known = group.find((one) => one.edge.types === edge.types);
    if (known) {
      known.join(edge);
      return known;
    }
    if (group.some((one) => excludes(one.edge.types, edge.types)))
      throw new StaveError(
        "SPEC_INVALID",
        `${edge.child.name ?? "a package"} is requested twice, with conflicting dependency types`,
      );
    return this.#append(edge, group);
  }

  /**
   * Adds the edges of a toolchain, merging each with the existing edges for its package and condition. Throws
   * SPEC_INVALID for conflicts and for an edge without a name.
   */
  constrain(edges: readonly QueryEdge[]): void {
    const names = Map.groupBy(edges, ({ child }) => child.name);
    for (const [name, asked] of names) {
      const [first] = asked;
      if (name === undefined && first)
        throw new StaveError("SPEC_INVALID", `the dependency ${printQuery(first.child)} has no name, expected one`);
      // Conditions are ignored, as in Spack's comparison.
      const known = leading(
        (this.#named.get(name ?? "") ?? []).map(({ edge }) => edge),
        visibility,
      );
      const more = leading(asked, visibility);
      if (known && more) merge(known.child, more.child);
    }
    for (const edge of edges) {
      const group = this.#group(edge);
      const known = leading(group, (one) => one.edge.types);
      known?.join(edge);
      known?.widen(edge);
      if (!known) this.#append(edge, group);
    }
  }

  /** The edges in the order in which their packages were first named. */
  list(): QueryEdge[] {
    return this.#edges.map(({ edge, below }) => ({ ...edge, child: { ...edge.child, edges: below.list() } }));
  }

  // A dependency without a name is its own group.
  #group({ child: { name }, when }: QueryEdge): Dependency[] {
    if (name === undefined) return [];
    const key = `${name} ${when ? printQuery(when) : ""}`;
    const group = this.#groups.get(key) ?? [];
    this.#groups.set(key, group);
    return group;
  }

  #append(edge: QueryEdge, group: Dependency[]): Dependency {
    const added = new Dependency(edge);
    this.#edges.push(added);
    group.push(added);
    const { name } = edge.child;
    const named = this.#named.get(name ?? "");
    if (named) named.push(added);
    else if (name !== undefined) this.#named.set(name, [added]);
    return added;
  }
}

// The first item with the lowest rank.
function leading<T>(all: readonly T[], rank: (one: T) => number): T | undefined {
  return all.reduce<T | undefined>(
    (best, one) => (best === undefined || rank(one) < rank(best) ? one : best),
    undefined,
  );
}

// Among several edges to a package, the one that Spack finds by name: edges that may be for building come first.
function visibility({ types }: QueryEdge): number {
  return types === 0 || (types & (BUILD | TEST)) !== 0 ? types : types + ALL_TYPES;
}

// Two edges to a package conflict if they share a dependency type, or if both are link or run edges (Spack
// `deptypes.py`, compatible).
function excludes(a: number, b: number): boolean {
  const runtime = LINK | RUN;
  return (a & b) !== 0 || ((a & runtime) !== 0 && (b & runtime) !== 0);
}

/** Maximum number of dependencies of one toolchain; toolchains may be nested in many others. */
const TOOLCHAIN_LIMIT = 1000;

/**
 * The combined requirements of a toolchain's specs, each with the condition of its dependencies. As in Spack,
 * requirements on the spec itself have no condition. Throws SPEC_INVALID for `^`, for conflicts and for exceeding the
 * limit.
 */
export function combined(parts: readonly (readonly [SpecQuery, SpecQuery | undefined])[]): SpecQuery {
  let node = ANY;
  const all = new EdgeList();
  for (const [{ edges, ...part }, when] of parts) {
    if (part.file !== undefined)
      throw new StaveError("SPEC_INVALID", `it names the spec file ${printable(part.file)}, expected requirements`);
    if (!edges.every((edge) => edge.direct))
      throw new StaveError("SPEC_INVALID", "it has a dependency with ^, expected only %");
    node = merge(node, { ...part, edges: [] });
    all.constrain(when ? edges.map((edge) => ({ ...edge, when: edge.when ? both(edge.when, when) : when })) : edges);
    if (all.size > TOOLCHAIN_LIMIT)
      throw new StaveError("SPEC_INVALID", `it has more than ${TOOLCHAIN_LIMIT} dependencies`);
  }
  return { ...node, edges: all.list() };
}

function both(a: SpecQuery, b: SpecQuery): SpecQuery {
  const edges = new EdgeList(a.edges);
  edges.constrain(b.edges);
  return { ...merge(a, b), edges: edges.list() };
}
