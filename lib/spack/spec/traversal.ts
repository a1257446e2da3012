// Walks the dependency graph in exactly Spack's orders (`traverse.py`). Each node, identified by its DAG hash, is
// visited once. Nothing recurses, so chains may be of any length.
import { ALL_TYPES, type Edge, type SpecNode } from "./node.ts";

/** Selects the edges that a walk follows. */
export interface EdgeFilter {
  /** Follow edges with at least one of these dependency types; default all. */
  readonly types?: number;
  /** Follow only edges that list this virtual package. */
  readonly virtual?: string;
}

const sorted = new WeakMap<SpecNode, readonly Edge[]>();

/** The edges of a node in walking order: by child name, then types, virtuals and the direct mark. */
export function sortedEdges(node: SpecNode): readonly Edge[] {
  const { edges } = node;
  let inOrder = true;
  for (let at = 1; at < edges.length && inOrder; at++) {
    const [before, after] = [edges[at - 1], edges[at]];
    if (before && after) inOrder = compareEdges(before, after) <= 0;
  }
  if (inOrder) return edges;
  const known = sorted.get(node) ?? edges.toSorted(compareEdges);
  sorted.set(node, known);
  return known;
}

function compareEdges(a: Edge, b: Edge): number {
  if (a.child.name !== b.child.name) return a.child.name < b.child.name ? -1 : 1;
  return a.types - b.types || compareTexts(a.virtuals, b.virtuals) || Number(a.direct) - Number(b.direct);
}

function compareTexts(a: readonly string[], b: readonly string[]): number {
  for (const [at, text] of a.entries()) {
    const other = b[at];
    if (other === undefined) return 1;
    if (text !== other) return text < other ? -1 : 1;
  }
  return a.length - b.length;
}

/** The edges of a node that pass a filter, in walking order. */
export function edgesOf(node: SpecNode, filter: EdgeFilter = {}): readonly Edge[] {
  const { types = ALL_TYPES, virtual } = filter;
  const edges = sortedEdges(node);
  if (types === ALL_TYPES && virtual === undefined) return edges;
  return edges.filter(
    (edge) => (edge.types & types) !== 0 && (virtual === undefined || edge.virtuals.includes(virtual)),
  );
}

/** Walks depth first, each node before its children. */
export function preOrder(roots: Iterable<SpecNode>, filter: EdgeFilter = {}): SpecNode[] {
  return depthFirst(roots, filter, true);
}

/** Walks depth first, each node after its children. */
export function postOrder(roots: Iterable<SpecNode>, filter: EdgeFilter = {}): SpecNode[] {
  return depthFirst(roots, filter, false);
}

function depthFirst(roots: Iterable<SpecNode>, filter: EdgeFilter, before: boolean): SpecNode[] {
  const seen = new Set<string>();
  const out: SpecNode[] = [];
  const stack: { node: SpecNode; edges: readonly Edge[]; next: number }[] = [];
  const enter = (node: SpecNode): void => {
    if (seen.has(node.hash)) return;
    seen.add(node.hash);
    if (before) out.push(node);
    stack.push({ node, edges: edgesOf(node, filter), next: 0 });
  };
  for (const root of roots) {
    enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const edge = top.edges[top.next++];
      if (edge !== undefined) enter(edge.child);
      else {
        stack.pop();
        if (!before) out.push(top.node);
      }
    }
  }
  return out;
}

/** Walks breadth first: the roots in the given order, then their dependencies level by level. */
export function breadthFirst(roots: Iterable<SpecNode>, filter: EdgeFilter = {}): SpecNode[] {
  const seen = new Set<string>();
  const out: SpecNode[] = [];
  const visit = (node: SpecNode): void => {
    if (seen.has(node.hash)) return;
    seen.add(node.hash);
    out.push(node);
  };
  for (const root of roots) visit(root);
  for (const node of out) for (const { child } of edgesOf(node, filter)) visit(child);
  return out;
}

/** Orders parents before children, otherwise breadth first. */
export function topological(roots: Iterable<SpecNode>, filter: EdgeFilter = {}): SpecNode[] {
  const waiting = new Map<string, number>();
  const count = (node: SpecNode): void => void waiting.set(node.hash, (waiting.get(node.hash) ?? 0) + 1);
  const given = [...roots];
  // Each root has an extra edge from an artificial source.
  for (const root of given) count(root);
  for (const node of breadthFirst(given, filter)) for (const { child } of edgesOf(node, filter)) count(child);
  const out: SpecNode[] = [];
  const release = (node: SpecNode): void => {
    const left = (waiting.get(node.hash) ?? 0) - 1;
    waiting.set(node.hash, left);
    if (left === 0) out.push(node);
  };
  for (const root of given) release(root);
  for (const node of out) for (const { child } of edgesOf(node, filter)) release(child);
  return out;
}

/** One line of a dependency tree. */
export interface TreeLine {
  readonly node: SpecNode;
  /** 0 for roots. */
  readonly depth: number;
  /** The edge that leads here; undefined for roots. */
  readonly edge: Edge | undefined;
}

/**
 * The lines of a tree as Spack prints it: each node appears below the parent that a breadth-first walk finds first.
 * With `everyEdge`, a node also appears, without its children, below its other parents.
 */
export function treeLines(roots: Iterable<SpecNode>, filter: EdgeFilter = {}, everyEdge = false): TreeLine[] {
  const given = [...new Map(Array.from(roots, (root) => [root.hash, root])).values()];
  // The parent below which each node is shown; undefined for roots.
  const found = new Map<string, SpecNode | undefined>(given.map((root) => [root.hash, undefined]));
  for (const node of breadthFirst(given, filter))
    for (const { child } of edgesOf(node, filter)) if (!found.has(child.hash)) found.set(child.hash, node);
  const lines: TreeLine[] = [];
  // Nodes that were shown with their children. A parent may have two edges to the same node.
  const shown = new Set<string>();
  const stack: { line: TreeLine; parent: SpecNode | undefined }[] = given
    .toReversed()
    .map((node) => ({ line: { node, depth: 0, edge: undefined }, parent: undefined }));
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { line, parent } = top;
    const { node, depth } = line;
    const isFirst = parent === found.get(node.hash) && !shown.has(node.hash);
    if (isFirst || everyEdge) lines.push(line);
    if (!isFirst) continue;
    shown.add(node.hash);
    for (const edge of edgesOf(node, filter).toReversed())
      stack.push({ line: { node: edge.child, depth: depth + 1, edge }, parent: node });
  }
  return lines;
}

/** A shortest path from a root to a node, which explains why the node is needed. */
export interface Path {
  readonly root: SpecNode;
  /** The edges from the root; empty if the node is the root. */
  readonly edges: readonly Edge[];
}

/** Finds a shortest path from the first root that has one; undefined when no root depends on the node. */
export function why(roots: Iterable<SpecNode>, target: SpecNode, filter: EdgeFilter = {}): Path | undefined {
  const given = [...roots];
  const found = new Map<string, { edge: Edge; parent: SpecNode } | undefined>();
  for (const root of given) found.set(root.hash, undefined);
  for (const node of breadthFirst(given, filter)) {
    if (node.hash === target.hash) break;
    for (const edge of edgesOf(node, filter))
      if (!found.has(edge.child.hash)) found.set(edge.child.hash, { edge, parent: node });
  }
  if (!found.has(target.hash)) return undefined;
  const edges: Edge[] = [];
  let root = target;
  for (let step = found.get(root.hash); step !== undefined; step = found.get(root.hash)) {
    edges.push(step.edge);
    root = step.parent;
  }
  return { root, edges: edges.reverse() };
}
