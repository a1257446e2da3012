// Proves that DAGs are walked in Spack's orders, in linear time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { graphOf } from "../../../lib/spack/spec/graph.ts";
import { targetAtMost } from "../../../lib/spack/spec/microarchitecture.ts";
import { type Edge, LINK, RUN, type SpecNode } from "../../../lib/spack/spec/node.ts";
import { readSpecDocument, type SpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import {
  environmentOrder,
  installOrder,
  layerOrder,
  pushOrder,
  relocationSet,
} from "../../../lib/spack/spec/spec-orders.ts";
import { breadthFirst, postOrder, preOrder, topological, treeLines, why } from "../../../lib/spack/spec/traversal.ts";
import { vectors } from "../../support/golden.ts";
import { makeGraph } from "../../support/graph.ts";

const specs = new Map<string, SpecDocument>(
  Object.entries(vectors<Record<string, never>>("concrete_specs")).map(([name, spec]) => [
    name,
    readSpecDocument(spec, { name }),
  ]),
);
const rootOf = (name: string): SpecNode => {
  const found = specs.get(name);
  assert.ok(found);
  return found.root;
};
const names = (nodes: readonly SpecNode[]): string[] => nodes.map((node) => node.name);

interface Row {
  spec?: string;
  specs?: string[];
  layer_order_by_hash?: string[];
  [order: string]: string | string[] | undefined;
}
const ORDERS: Record<string, (root: SpecNode) => SpecNode[]> = {
  layer_order: (root) => layerOrder([root]),
  push_order_default: (root) => pushOrder([root]),
  push_order_without_build_deps: (root) => pushOrder([root], { withoutBuildDependencies: true }),
  specs_to_relocate: (root) => relocationSet(root),
  preorder_nodes: (root) => preOrder([root]),
  env_topo: (root) => environmentOrder([root]),
  install_order: (root) => installOrder([root]),
};

for (const row of vectors<Row[]>("traversal")) {
  const { spec, specs: several, layer_order_by_hash: byHash, ...orders } = row;
  if (several !== undefined)
    test(`layers of ${several.join(" and ")} together come in Spack's order`, () => {
      const layers = layerOrder(several.map(rootOf));
      assert.deepEqual(
        layers.map((node) => `${node.name}/${node.hash.slice(0, 7)}`),
        byHash,
      );
    });
  else
    for (const [order, expected] of Object.entries(orders))
      test(`${order} of ${spec} is Spack's`, () => {
        const walk = ORDERS[order];
        assert.ok(walk && spec !== undefined, order);
        assert.deepEqual(names(walk(rootOf(spec))), expected);
      });
}

test("the order of microarchitectures is archspec's", () => {
  for (const [a, b, expected] of vectors<[string, string, boolean][]>("archspec_le"))
    assert.equal(targetAtMost(a, b), expected, `${a} <= ${b}`);
});

test("edges are filtered by type and by virtual", () => {
  const hdf5 = rootOf("hdf5");
  assert.deepEqual(names(breadthFirst([hdf5], { virtual: "mpi" })), ["hdf5", "openmpi"]);
  assert.deepEqual(names(breadthFirst([rootOf("zlib-ng")], { types: LINK | RUN })), [
    "zlib-ng",
    "gcc-runtime",
    "glibc",
  ]);
});

test("several edges to one name are walked by types, then virtuals, then the direct mark", () => {
  const [a, b, c] = ["a", "b", "c"].map((mark) => leaf("same", mark));
  assert.ok(a && b && c);
  const edge = (child: SpecNode, types: number, virtuals: string[], direct = false): Edge => ({
    child,
    types,
    virtuals,
    direct,
  });
  const edges = [edge(c, RUN, ["x"]), edge(b, LINK, ["y"]), edge(a, LINK, ["x"])];
  assert.deepEqual(breadthFirst([{ ...leaf("root", "d"), edges }]).slice(1), [a, b, c]);
});

const leaf = (name: string, mark: string): SpecNode => ({
  ...rootOf("root-a"),
  name,
  hash: mark.repeat(32),
  edges: [],
});

test("a tree shows each node once, below its first parent", () => {
  const lines = treeLines([rootOf("root-a")]).map(({ node, depth }) => `${"  ".repeat(depth)}${node.name}`);
  assert.deepEqual(lines, ["root-a", "  leaf-a", "  mid-a", "    buildonly", "    runonly", "      leaf-b"]);
  const every = treeLines([rootOf("hdf5")], {}, true);
  assert.equal(every.length, 1 + preOrder([rootOf("hdf5")]).reduce((sum, node) => sum + node.edges.length, 0));
});

test("why finds a shortest path", () => {
  const hdf5 = rootOf("hdf5");
  const xz = preOrder([hdf5]).find((node) => node.name === "xz");
  assert.ok(xz);
  const path = why([rootOf("zlib-ng"), hdf5], xz, { types: LINK | RUN });
  assert.equal(path?.root.name, "hdf5");
  assert.equal(path?.edges.at(-1)?.child, xz);
  assert.equal(path?.edges.length, 4);
  assert.deepEqual(why([hdf5], hdf5), { root: hdf5, edges: [] });
  assert.equal(why([rootOf("zlib-ng")], xz), undefined);
});

// Shapes that break recursion or quadratic algorithms.
const SHAPES: [string, () => SpecNode[], number][] = [
  ["a chain of 20 000", () => makeGraph(20_000, (at) => (at + 1 < 20_000 ? [at + 1] : [])), 20_000],
  [
    "a fan of 20 000",
    () => makeGraph(20_000, (at) => (at === 0 ? Array.from({ length: 19_999 }, (_, i) => i + 1) : [])),
    20_000,
  ],
  [
    "layers with 90 000 edges",
    () => makeGraph(601, (at) => (at === 0 ? range(1, 301) : range(301, at < 301 ? 601 : 301))),
    601,
  ],
];
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

for (const [name, make, size] of SHAPES)
  test(`${name} is walked in steps that grow with its edges`, () => {
    const nodes = make();
    const [root] = nodes;
    assert.ok(root);
    let steps = 0;
    let edges = 0;
    for (const node of nodes)
      for (const edge of node.edges) {
        const { child } = edge;
        edges++;
        const get = (): SpecNode => {
          // Siblings are also sorted by name, which compares each about log2(n) times.
          if (++steps > 40 * edges) assert.fail(`more than ${40 * edges} steps for ${edges} edges`);
          return child;
        };
        Object.defineProperty(edge, "child", { get });
      }
    const walks: [string, () => number][] = [preOrder, postOrder, breadthFirst, topological, treeLines].map((walk) => [
      walk.name,
      () => walk([root]).length,
    ]);
    for (const [what, walk] of walks) {
      steps = 0;
      assert.equal(walk(), size, what);
    }
    const last = breadthFirst([root]).at(-1);
    assert.ok(last && why([root], last));
  });

test("a graph of nodes finds them by hash", () => {
  const nodes = preOrder([rootOf("hdf5")]);
  const graph = graphOf(nodes);
  assert.equal(graph.size, nodes.length);
  assert.equal(graph.get(rootOf("hdf5").hash), rootOf("hdf5"));
});
