// Proves that a spec never comes before one whose layer it needs, even if documents contradict each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { planPush } from "../../../lib/image/layer-plan.ts";
import { dependenciesFirst } from "../../../lib/ops/push/prepare.ts";
import { LINK, RUN, type SpecNode } from "../../../lib/spack/spec/node.ts";
import { pushOrder } from "../../../lib/spack/spec/spec-orders.ts";

function spec(name: string, ...children: SpecNode[]): SpecNode {
  return {
    ...{ hash: name.padEnd(32, "a"), name, version: "1", namespace: "builtin", format: 5, raw: {} },
    ...{ platform: "linux", os: "debian12", target: "x86_64", variants: new Map(), flags: new Map() },
    ...{ external: undefined, compiler: undefined, buildSpec: undefined },
    edges: children.map((child) => ({ child, types: LINK | RUN, virtuals: [], direct: false })),
  };
}

// Two documents have x under one hash, and only one of them knows that it needs c.
const c = spec("c");
const first = spec("first", spec("x"));
const second = spec("second", spec("x", c));
const chain: SpecNode[] = [];
for (let at = 0; at < 30; at++) chain.unshift(spec(`chain${at}`, ...chain.slice(0, 2)));
const orders: { name: string; roots: SpecNode[] }[] = [
  { name: "a chain, its end first", roots: chain },
  { name: "a chain, its end last", roots: chain.toReversed() },
  { name: "contradictory documents", roots: [c, first, second] },
  { name: "the same in another order", roots: [second, c, first] },
  { name: "and in a third", roots: [first, second, c] },
];
for (const { name, roots } of orders)
  test(name, () => {
    const none = { tags: new Set<string>(), images: new Map(), tagged: [], force: false, verify: false };
    const selected = pushOrder(roots);
    const given = { ...none, isInstalled: () => true, isOurs: () => true, wantsEnvironment: false };
    const plan = planPush({ ...given, roots, selected });
    const done = new Set<string>();
    for (const { node, layers } of dependenciesFirst(plan)) {
      done.add(node.hash);
      for (const layer of layers) assert.ok(done.has(layer.node.hash), `${node.name} before ${layer.node.name}`);
    }
    assert.equal(done.size, selected.length);
  });
