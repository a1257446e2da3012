// Proves that specs satisfy queries as Spack decides, with its recipes for virtual packages as the only difference.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { Toolchain, Toolchains } from "../../../lib/spack/config/toolchains.ts";
import { satisfies } from "../../../lib/spack/query/satisfies.ts";
import { parseQuery } from "../../../lib/spack/query/spec-parser.ts";
import { graphOf } from "../../../lib/spack/spec/graph.ts";
import { familyOf, targetAtMost } from "../../../lib/spack/spec/microarchitecture.ts";
import type { Edge, SpecGraph, SpecNode } from "../../../lib/spack/spec/node.ts";
import { BUILD, LINK } from "../../../lib/spack/spec/node.ts";
import { readSpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { wholeFile } from "../../../lib/spack/text/yaml.ts";
import { failsWith } from "../../support/errors.ts";
import { vectors } from "../../support/golden.ts";
import { makeGraph } from "../../support/graph.ts";
import { vector, vectorRows } from "../../support/vectors.ts";

const DOCUMENTS = new Map(
  Object.entries(vectors<Record<string, JsonObject>>("concrete_specs")).map(([name, spec]) => [
    name,
    readSpecDocument(spec, { name }),
  ]),
);

// The virtual packages that a node provides follow from all graphs together.
const GRAPH = graphOf([...DOCUMENTS.values()].flatMap(({ graph }) => [...graph.nodes()]));

function nodeOf(spec: string, name: string): { node: SpecNode; graph: SpecGraph } {
  const node = [...(DOCUMENTS.get(spec)?.graph.nodes() ?? [])].find((one) => one.name === name);
  assert.ok(node, `${spec} has ${name}`);
  return { node, graph: GRAPH };
}

// Only a provider's recipe knows the version of the virtual package it provides, so stave answers no.
const NEED_RECIPES = new Set([
  "root-a: root-a ^virta@2",
  "leaf-a: virta@2.0",
  "leaf-a: virta@2:",
  "leaf-a: virtb@5",
  "hdf5: hdf5 ^mpi@3",
]);

test("queries are decided as by Spack with its recipes, except those about versions of virtual packages", () => {
  const different = new Set<string>();
  const row = z.object({ spec: z.string(), node: z.string(), query: z.string(), satisfies: z.boolean().optional() });
  const rows = vectorRows("spec_satisfies", row);
  assert.ok(rows.length > 150);
  for (const { spec, node: name, query, satisfies: expected = false } of rows) {
    const { node, graph } = nodeOf(spec, name);
    if (satisfies(node, graph, parseQuery(query)) !== expected) different.add(`${name}: ${query}`);
  }
  assert.deepEqual(different, NEED_RECIPES);
});

test("queries of old specs are decided by the compiler that they record", () => {
  const { input } = vector("v4_reserialised_by_1_2", z.object({ input: z.custom<JsonObject>() }));
  const { root, graph } = readSpecDocument(input, { name: "old" });
  for (const [query, expected] of vectorRows("v4_spec_satisfies", z.tuple([z.string(), z.boolean()])))
    assert.equal(satisfies(root, graph, parseQuery(query)), expected, query);
  for (const query of ["%gcc+x", "%gcc target=core2", "%gcc/abc", "%gcc cflags=-g", "%gcc@11:"])
    assert.ok(!satisfies(root, graph, parseQuery(query)), query);
});

test("microarchitectures are ordered as by archspec", () => {
  for (const [a, b, expected] of vector("archspec_le", z.array(z.tuple([z.string(), z.string(), z.boolean()])).min(10)))
    assert.equal(targetAtMost(a, b), expected, `${a} and ${b}`);
  assert.equal(familyOf("nobody"), "nobody");
  assert.ok(targetAtMost("nobody", "nobody") && !targetAtMost("nobody", "zen2"));
});

const MORE: { spec: string; query: string; expect: boolean }[] = [
  { spec: "root-a", query: "root-a ^[when='@1'] nosuch", expect: false },
  { spec: "root-a", query: "root-a ^[when='@2:'] nosuch", expect: true },
  { spec: "root-a", query: "root-a ^[when='+unknown'] nosuch", expect: true },
  { spec: "hdf5", query: "hdf5 %[when='+mpi'] nosuch", expect: false },
  { spec: "hdf5", query: "hdf5 %[when='~mpi'] nosuch", expect: true },
  { spec: "hdf5", query: "hdf5 ^mpi %gcc@12 target=x86_64:", expect: true },
  { spec: "hdf5", query: "hdf5 ^mpi %gcc@11", expect: false },
  { spec: "hdf5", query: "hdf5 ^nobody %gcc", expect: false },
  { spec: "hdf5", query: "hdf5 target=x86_64:zen2,:icelake", expect: true },
  { spec: "hdf5", query: "hdf5 target=unknown:", expect: false },
  { spec: "hdf5", query: "hdf5 ^zlib-ng target=x86_64: ^zlib-ng target=:zen2,:icelake", expect: true },
  { spec: "hdf5", query: "hdf5 ^zlib-ng target=aarch64: ^[when='~mpi'] zlib-ng@1", expect: false },
  { spec: "hdf5", query: "hdf5 ^zlib-ng++compat", expect: true },
  { spec: "hdf5", query: "hdf5 nosuchvariant==anything", expect: true },
];
for (const { spec, query, expect } of MORE)
  test(`${query} is ${expect}`, () => {
    const { node, graph } = nodeOf(spec, spec);
    assert.equal(satisfies(node, graph, parseQuery(query)), expect);
  });

const PLACE = wholeFile("toolchains.yaml");
const TOOLCHAINS: Toolchains = new Map(
  Object.entries({
    new: [{ spec: "%c,cxx=gcc@12:", when: "%c" }],
    old: [
      { spec: "%fortran=gcc@:11", when: "%d" },
      { spec: "%c=gcc@:11", when: "%c" },
    ],
    absent: [{ spec: "%d=ldc", when: "%d" }],
    optimised: [{ spec: "cflags=-O3", when: "%d" }],
  }).map(([name, parts]): [string, Toolchain] => [name, { parts, place: PLACE }]),
);

const WITH_TOOLCHAINS: { query: string; expect: boolean }[] = [
  { query: "hdf5 %new", expect: true },
  { query: "hdf5 %old", expect: false },
  // None of its dependencies compiles D, so there is no constraint.
  { query: "hdf5 %absent", expect: true },
  { query: "hdf5 ^mpi ^zlib-ng %new", expect: true },
  { query: "hdf5 ^zlib-ng %old", expect: false },
  { query: "hdf5 ^zlib-ng %absent", expect: true },
  // Conditions apply only to dependencies, so the flag is required in any case.
  { query: "hdf5 %optimised", expect: false },
];
for (const { query, expect } of WITH_TOOLCHAINS)
  test(`${query} is ${expect}, with toolchains`, () => {
    const { node, graph } = nodeOf("hdf5", "hdf5");
    assert.equal(satisfies(node, graph, parseQuery(query, { toolchains: TOOLCHAINS })), expect);
  });

test("patches are found by the beginnings of their hashes", () => {
  const [plain] = makeGraph(1, () => []);
  assert.ok(plain);
  const node: SpecNode = { ...plain, variants: new Map([["patches", ["abcdef", "123456"]]]) };
  const decide = (query: string): boolean => satisfies(node, graphOf([node]), parseQuery(query));
  assert.ok(decide("patches=abc,123") && decide("patches:=abcdef,123456"));
  assert.ok(!decide("patches=abc,9") && !decide("patches:=abc,123456"));
});

test("a spec file that nobody read is no answer", async () => {
  const { node, graph } = nodeOf("hdf5", "hdf5");
  await failsWith("SPEC_INVALID", () => satisfies(node, graph, parseQuery("./x.json")), /was not read/);
  await failsWith("SPEC_INVALID", () => satisfies(node, graph, parseQuery("hdf5 %./x.json")), /was not read/);
});

test("asking 20 000 specs looks at few edges of each", () => {
  const SIZE = 20_000;
  const made = makeGraph(SIZE, (at) => [at + 1, at * 2 + 1, at + 40].filter((child) => child > at && child < SIZE));
  const nodes: SpecNode[] = [];
  // Every hundredth spec is an hdf5 that links an openmpi; all are built by gcc.
  const gcc: SpecNode = { ...must(made.at(-1)), name: "gcc", version: "12.2.0", target: "zen3" };
  const mpi: SpecNode = { ...must(made.at(-2)), name: "openmpi", edges: [edgeTo(gcc, BUILD, ["c"])] };
  for (const [at, node] of made.entries()) {
    const name = at % 100 === 0 ? "hdf5" : node.name;
    const edges = [...node.edges, edgeTo(mpi, LINK, ["mpi"]), edgeTo(gcc, BUILD, ["c"])];
    nodes.push({ ...node, name, version: `1.${at % 300}.${at % 7}`, edges });
  }
  const graph = graphOf([...nodes.slice(0, -2), mpi, gcc]);
  let looks = 0;
  // The children are the nodes as they were made.
  for (const node of new Set([...graph.nodes(), ...made])) {
    const { edges } = node;
    const get = (): readonly Edge[] => {
      if (++looks > 5 * SIZE) assert.fail("the edges of specs are read again and again");
      return edges;
    };
    Object.defineProperty(node, "edges", { get });
  }
  for (const [query, count] of [
    ["hdf5", 200],
    ["hdf5 ^mpi %gcc@12 target=x86_64_v3:", 200],
    ["hdf5@1.100:", 133],
    ["@1.2", 67],
    ["%gcc@12:", 19_999],
  ] as const) {
    const asked = parseQuery(query);
    let found = 0;
    looks = 0;
    for (const node of graph.nodes()) if (satisfies(node, graph, asked)) found++;
    assert.ok(Math.abs(found - count) <= 67, `${query}: ${found}`);
  }
});

function must<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}

function edgeTo(child: SpecNode, types: number, virtuals: readonly string[]): Edge {
  return { child, types, virtuals, direct: true };
}
