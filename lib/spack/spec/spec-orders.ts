// Which specs take part in what, and in which order: layers, pushing, relocation, the environment, installing.

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

/** The nodes that have a say in the run environment, dependents first, externals included. */
export function environmentOrder(roots: Iterable<SpecNode>): SpecNode[] {
  return topological(roots, { types: LINK | RUN });
}

/** Which specs a push takes. */
export interface PushSelection {
  /** The given specs, what they depend on, or both. */
  readonly only?: "package" | "dependencies" | "all";
  /** Leave out what is needed for building only. */
  readonly withoutBuildDependencies?: boolean;
}

/** The nodes to push, in Spack's order: breadth first from the roots, reversed, without externals. */
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
 * The nodes whose prefixes may be written inside the files of a spec, itself first: what it links, then what it runs
 * directly; no externals. Spack before 1.0 walked depth first (`legacy`), and the order is part of the archive.
 */
export function relocationSet(spec: SpecNode, legacy = false): SpecNode[] {
  const linked = legacy ? preOrder([spec], { types: LINK }) : breadthFirst([spec], { types: LINK });
  const run = edgesOf(spec, { types: RUN }).map((edge) => edge.child);
  const once = new Map([...linked, ...run].map((node) => [node.hash, node]));
  return [...once.values()].filter(isBuilt);
}

/** The nodes to install for the roots, each after what it links and runs; externals included. */
export function installOrder(roots: Iterable<SpecNode>): SpecNode[] {
  return postOrder(roots, { types: LINK | RUN });
}
