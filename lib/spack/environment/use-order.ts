// Which specs contribute to a run environment, in which order, and whose programs are run (Spack
// `build_environment.py`, effective_deptypes). Spack 0.x sorted depth first; 1.0 and later sort breadth first where
// possible.

import { LINK, RUN, type SpecNode } from "../spec/node.ts";
import { environmentOrder, installOrder } from "../spec/spec-orders.ts";
import { edgesOf } from "../spec/traversal.ts";

/** How parents are ordered before children: `breadth` since Spack 1.0, `depth` before. */
export type TopologicalOrder = "breadth" | "depth";

/** The order used by the Spack that concretized these specs. */
export function orderOf(roots: readonly SpecNode[]): TopologicalOrder {
  return roots.some(({ format }) => format >= 5) ? "breadth" : "depth";
}

/** The nodes whose folders are inspected, dependencies first, externals included. */
export function inspectionOrder(roots: readonly SpecNode[], order: TopologicalOrder): SpecNode[] {
  return order === "depth" ? installOrder(roots) : environmentOrder(roots).reverse();
}

/** A node of the run environment. Its programs are run if it is a root or something needs it at run time. */
export interface RunNode {
  readonly node: SpecNode;
  readonly isRun: boolean;
}

/** The nodes that modify the environment: externals first, then dependencies before dependents. */
export function runOrder(roots: readonly SpecNode[], order: TopologicalOrder): RunNode[] {
  // Keyed by hash: the roots may come from several documents.
  const found = new Map<string, { node: SpecNode; isRun: boolean }>();
  const parents = new Set<string>();
  for (const { parent, child, types } of order === "depth" ? depthFirstEdges(roots) : breadthFirstEdges(roots)) {
    const isRun = parent === undefined || (types & RUN) !== 0;
    const known = found.get(child.hash);
    if (known) known.isRun ||= isRun;
    else found.set(child.hash, { node: child, isRun });
    if (parent) parents.add(parent.hash);
  }
  // Nodes with dependencies come in edge order, followed by the others in discovery order.
  const leaves = [...found.keys()].filter((hash) => !parents.has(hash));
  const all = [...parents, ...leaves].reverse().flatMap((hash) => found.get(hash) ?? []);
  return [...all.filter(({ node }) => node.external), ...all.filter(({ node }) => !node.external)];
}

// Every edge once, each node's incoming edges before its outgoing ones; roots have an artificial incoming edge.
interface TopologicalEdge {
  readonly parent: SpecNode | undefined;
  readonly child: SpecNode;
  readonly types: number;
}
const FILTER = { types: LINK | RUN };

function breadthFirstEdges(roots: readonly SpecNode[]): TopologicalEdge[] {
  const below = environmentOrder(roots).flatMap((parent) =>
    edgesOf(parent, FILTER).map((edge) => ({ parent, ...edge })),
  );
  return [...roots.map((child) => ({ parent: undefined, child, types: 0 })), ...below];
}

function depthFirstEdges(roots: readonly SpecNode[]): TopologicalEdge[] {
  const seen = new Set<string>();
  const out: TopologicalEdge[] = [];
  const stack: { edge: TopologicalEdge; below: readonly TopologicalEdge[]; next: number }[] = [];
  const enter = (edge: TopologicalEdge): void => {
    const { child: parent } = edge;
    if (seen.has(parent.hash)) return void out.push(edge);
    seen.add(parent.hash);
    stack.push({ edge, below: edgesOf(parent, FILTER).map((one) => ({ parent, ...one })), next: 0 });
  };
  for (const child of roots) {
    enter({ parent: undefined, child, types: 0 });
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const edge = top.below[top.next++];
      if (edge !== undefined) enter(edge);
      else {
        stack.pop();
        out.push(top.edge);
      }
    }
  }
  return out.reverse();
}
