// Selects and orders specs for each purpose: layers, pushing, relocation, environments and installing.

import { LINK, RUN, type SpecNode, TEST } from "./node.ts";
import { breadthFirst, edgesOf, postOrder, preOrder, topological } from "./traversal.ts";

const isBuilt = (node: SpecNode): boolean => node.external === undefined;

/**
 * The nodes of an image, dependencies first, without externals (Spack `buildcache push`). Spack before 1.0 walked depth
 * first (`legacy`).
 */
export function layerOrder(roots: Iterable<SpecNode>, legacy = false): SpecNode[] {
  const order = legacy ? installOrder(roots) : environmentOrder(roots).reverse();
  return order.filter(isBuilt);
}

/** The nodes that contribute to the run environment, dependents first, externals included. */
export function environmentOrder(roots: Iterable<SpecNode>): SpecNode[] {
  return topological(roots, { types: LINK | RUN });
}

/** Selects the specs to push. */
export interface PushSelection {
  /** The given specs, their dependencies, or both. */
  readonly only?: "package" | "dependencies" | "all";
  /** Leave out build-only dependencies. */
  readonly withoutBuildDependencies?: boolean;
}

/** The nodes to push in Spack's order: reversed breadth first from the roots, without externals. */
export function pushOrder(roots: Iterable<SpecNode>, selection: PushSelection = {}): SpecNode[] {
  const given = [...roots];
  const { only = "all", withoutBuildDependencies = false } = selection;
  const asked = new Set(given.map((node) => node.hash));
  const types = withoutBuildDependencies ? { types: LINK | RUN | TEST } : {};
  return breadthFirst(given, types)
    .filter((node) => isBuilt(node) && (only === "all" || asked.has(node.hash) === (only === "package")))
    .reverse();
}

/**
 * The nodes whose prefixes may occur in the files of a spec: the spec itself, its link dependencies, then its direct
 * run dependencies, without externals. Spack before 1.0 walked depth first (`legacy`); the order is part of the
 * archive.
 */
export function relocationSet(spec: SpecNode, legacy = false): SpecNode[] {
  const linked = legacy ? preOrder([spec], { types: LINK }) : breadthFirst([spec], { types: LINK });
  const run = edgesOf(spec, { types: RUN }).map((edge) => edge.child);
  const once = new Map([...linked, ...run].map((node) => [node.hash, node]));
  return [...once.values()].filter(isBuilt);
}

/** The nodes to install for the roots, each after its link and run dependencies, externals included. */
export function installOrder(roots: Iterable<SpecNode>): SpecNode[] {
  return postOrder(roots, { types: LINK | RUN });
}
