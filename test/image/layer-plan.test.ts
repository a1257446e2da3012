// Proves what a push decides, for a small graph: 0 needs 1 and 2, both need 3; 4 stands alone.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ImageLayer } from "../../lib/image/image-documents.ts";
import { type CachedImage, type PlanInput, type PlannedInImage, planPush } from "../../lib/image/layer-plan.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP } from "../../lib/oci/mediatype.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { specTag } from "../../lib/spack/spec/spec-name.ts";
import { makeGraph } from "../support/graph.ts";

const EDGES: readonly (readonly number[])[] = [[1, 2], [3], [3], [], []];
const nodes = makeGraph(EDGES.length, (at) => EDGES[at] ?? []);
const at = (index: number): SpecNode => nodes[index] ?? assert.fail();
const indexOf = (node: SpecNode): number => nodes.findIndex(({ hash }) => hash === node.hash);
const layer = (index: number): ImageLayer => ({
  mediaType: OCI_LAYER_GZIP,
  digest: digestOf(`layer ${index}`),
  size: index,
  diffId: digestOf(`archive ${index}`),
  label: String(index),
});
/** An image of a spec with the layers of some. */
const image = (self: number, ...others: number[]): CachedImage => ({
  layer: layer(self),
  digests: new Set([...others, self].map((each) => layer(each).digest)),
});

interface Given {
  roots?: number[];
  selected?: number[];
  there?: number[];
  images?: Record<number, CachedImage | "broken">;
  known?: number[];
  groups?: number[][];
  absent?: number[];
  others?: number[];
  force?: boolean;
  verify?: boolean;
  tag?: boolean;
}

function plan(given: Given): {
  actions: Record<number, string>;
  unread: number[];
  layers: Record<number, string>;
  environment: string | undefined;
} {
  const {
    roots = [0],
    selected = [3, 2, 1, 0],
    there = [],
    images = {},
    known = [],
    groups = [],
    absent = [],
    others = [],
  } = given;
  const input: PlanInput = {
    roots: roots.map(at),
    selected: selected.map(at),
    isInstalled: (node) => !absent.includes(indexOf(node)),
    tags: new Set(there.map((index) => specTag(at(index)))),
    images: new Map(Object.entries(images).map(([index, value]) => [at(Number(index)).hash, value])),
    tagged: [...known.map((index) => [index]), ...groups].map((indices) => ({
      hashes: indices.map((index) => at(index).hash),
      layer: layer(indices[0] ?? 0),
    })),
    force: given.force ?? false,
    verify: given.verify ?? false,
    isOurs: (node) => !others.includes(indexOf(node)),
    wantsEnvironment: given.tag ?? false,
  };
  const made = planPush(input);
  const signs = { push: "+", cache: "=", nowhere: "-", group: "*" } as const;
  const text = (layers: readonly PlannedInImage[]): string =>
    layers.map(({ node, from }) => `${signs[from]}${indexOf(node)}`).join(" ");
  return {
    actions: Object.fromEntries(
      made.specs.map(({ node, action, isRepair }) => [indexOf(node), isRepair ? `${action}, repair` : action]),
    ),
    unread: made.unread.map(indexOf).sort(),
    layers: Object.fromEntries(
      made.specs.filter(({ layers }) => layers.length > 0).map(({ node, layers }) => [indexOf(node), text(layers)]),
    ),
    environment: made.environment && text(made.environment),
  };
}

const ROWS: { name: string; given: Given; expect: Partial<ReturnType<typeof plan>> }[] = [
  {
    name: "an empty cache gets everything",
    given: { tag: true },
    expect: {
      actions: { 0: "pack", 1: "pack", 2: "pack", 3: "pack" },
      layers: { 0: "+3 +2 +1 +0", 1: "+3 +1", 2: "+3 +2", 3: "+3" },
      environment: "+3 +2 +1 +0",
      unread: [],
    },
  },
  {
    name: "what is there is kept, and nothing is read",
    given: { there: [0, 1, 2, 3] },
    expect: { actions: { 0: "keep", 1: "keep", 2: "keep", 3: "keep" }, layers: {}, unread: [] },
  },
  {
    name: "what a new image needs is read",
    given: { there: [1, 2, 3] },
    expect: { actions: { 0: "pack", 1: "keep", 2: "keep", 3: "keep" }, unread: [1, 2, 3] },
  },
  {
    name: "and used once it was read",
    given: { there: [1, 2, 3], images: { 1: image(1, 3), 2: image(2, 3), 3: image(3) } },
    expect: { actions: { 0: "pack", 1: "keep", 2: "keep", 3: "keep" }, layers: { 0: "=3 =2 =1 +0" }, unread: [] },
  },
  {
    name: "a broken one is packed, and its dependencies are read then",
    given: { there: [1, 2, 3], images: { 1: "broken", 2: image(2, 3) } },
    expect: { actions: { 0: "pack", 1: "pack, repair", 2: "keep", 3: "keep" }, unread: [3] },
  },
  {
    name: "a broken one that is not installed cannot be repaired",
    given: { there: [1, 2, 3], images: { 1: "broken", 2: image(2, 3), 3: image(3) }, absent: [1] },
    expect: { actions: { 0: "pack", 1: "not installed, repair", 2: "keep", 3: "keep" }, layers: { 0: "=3 =2 -1 +0" } },
  },
  {
    name: "one that lacks a layer gets it",
    given: { there: [1, 2, 3], images: { 1: image(1), 2: image(2, 3), 3: image(3) } },
    expect: { actions: { 0: "pack", 1: "complete", 2: "keep", 3: "keep" }, layers: { 0: "=3 =2 =1 +0", 1: "=3 =1" } },
  },
  {
    name: "also when that layer is packed only now",
    given: { there: [1, 2], images: { 1: image(1), 2: image(2) } },
    expect: {
      actions: { 0: "pack", 1: "complete", 2: "complete", 3: "pack" },
      layers: { 0: "+3 =2 =1 +0", 1: "+3 =1", 2: "+3 =2", 3: "+3" },
    },
  },
  {
    name: "a dependency that is packed again because it was broken makes nobody incomplete",
    given: {
      there: [0, 1, 2, 3],
      images: { 0: image(0, 1, 2, 3), 1: image(1, 3), 2: image(2, 3), 3: "broken" },
      verify: true,
    },
    expect: { actions: { 0: "keep", 1: "keep", 2: "keep", 3: "pack, repair" } },
  },
  {
    name: "--verify reads all",
    given: { there: [0, 1, 2, 3], verify: true },
    expect: { unread: [0, 1, 2, 3] },
  },
  {
    name: "--force packs all that is installed",
    given: { there: [0, 1, 2, 3], force: true, absent: [3] },
    expect: { actions: { 0: "pack", 1: "pack", 2: "pack", 3: "keep" }, unread: [3] },
  },
  {
    name: "what is not installed and nowhere leaves a hole",
    given: { absent: [2], tag: true },
    expect: {
      actions: { 0: "pack", 1: "pack", 2: "not installed", 3: "pack" },
      layers: { 0: "+3 -2 +1 +0", 1: "+3 +1", 3: "+3" },
      environment: "+3 -2 +1 +0",
    },
  },
  {
    name: "a dependency that was not selected is taken from the cache",
    given: { selected: [0], there: [1, 3], images: { 1: image(1, 3), 3: image(3) } },
    expect: { actions: { 0: "pack" }, layers: { 0: "=3 -2 =1 +0" } },
  },
  {
    name: "other jobs' shares are theirs",
    given: { others: [1, 3] },
    expect: {
      actions: { 0: "pack", 1: "other shard", 2: "pack", 3: "other shard" },
      layers: { 0: "-3 +2 -1 +0", 2: "-3 +2" },
    },
  },
  {
    name: "a tagged image that tells its layers spares reading",
    given: { there: [0, 1, 2, 3], known: [0, 1, 2, 3], tag: true },
    expect: { unread: [], environment: "=3 =2 =1 =0" },
  },
  {
    name: "but not where it lacks a dependency",
    given: { there: [0, 1, 2, 3], known: [0, 1, 2], tag: true },
    expect: { unread: [0, 1, 2, 3] },
  },
  {
    name: "a layer of several specs stays in the tagged image, and the images of its specs are not read",
    given: { there: [0, 1, 2, 3], known: [3], groups: [[1, 2, 0]], tag: true },
    expect: { unread: [], environment: "=3 *2 *1 *0" },
  },
  {
    name: "unless one of them is packed again; then the others are read",
    given: { there: [1, 2, 3], known: [3], groups: [[1, 2, 0]], tag: true },
    expect: { actions: { 0: "pack", 1: "keep", 2: "keep", 3: "keep" }, unread: [1, 2] },
  },
  {
    name: "the image of a spec has a layer for each spec all the same",
    given: {
      selected: [0],
      there: [1, 2, 3],
      known: [3],
      groups: [[1, 2]],
      images: { 1: image(1, 3), 2: image(2, 3) },
      tag: true,
    },
    expect: { unread: [], layers: { 0: "=3 =2 =1 +0" }, environment: "=3 *2 *1 +0" },
  },
  {
    name: "and not when the spec is gone from the cache",
    given: { roots: [4], selected: [4], known: [4], absent: [4], tag: true },
    expect: { environment: "-4", unread: [] },
  },
];

describe("a plan of a push", () => {
  for (const { name, given, expect } of ROWS)
    test(name, () => {
      const made = plan(given);
      for (const [key, value] of Object.entries(expect)) assert.deepEqual(made[key as keyof typeof made], value, key);
    });
});
