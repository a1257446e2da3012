// Proves that queries select specs in a stable order, and that ambiguous or failed ones get useful suggestions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Candidates, select, selectOne, selectSome } from "../../../lib/spack/query/select.ts";
import { parseQuery } from "../../../lib/spack/query/spec-parser.ts";
import { graphOf } from "../../../lib/spack/spec/graph.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { failsWith } from "../../support/errors.ts";
import { makeGraph } from "../../support/graph.ts";

const SPECS: readonly (readonly [string, string])[] = [
  ["zlib", "1.10"],
  ["zlib", "1.9"],
  ["hdf5", "1.14.6"],
  ["zlib", "1.9"],
  ["zlib-ng", "2.0"],
];
const nodes: SpecNode[] = makeGraph(SPECS.length, () => []).map((node, at) => {
  const [name = "", version = ""] = SPECS[at] ?? [];
  return { ...node, name, version };
});
const store: Candidates = { nodes, graph: graphOf(nodes), place: "the store /opt" };
const names = (found: readonly SpecNode[]): string[] => found.map((node) => `${node.name}@${node.version}`);

test("what was found stands in an order that does not depend on the store", () => {
  const expected = ["hdf5@1.14.6", "zlib@1.9", "zlib@1.9", "zlib@1.10", "zlib-ng@2.0"];
  assert.deepEqual(names(select(store, [])), expected);
  assert.deepEqual(select({ ...store, nodes: nodes.toReversed() }, []), select(store, []));
  assert.deepEqual(names(select(store, [parseQuery("zlib@1.10:"), parseQuery("hdf5"), parseQuery("hdf5@1")])), [
    "hdf5@1.14.6",
    "zlib@1.10",
  ]);
});

test("the one spec that is meant is returned", () => {
  assert.deepEqual(names([selectOne(store, parseQuery("zlib@1.10"))]), ["zlib@1.10"]);
});

test("several specs are listed, with a hash to choose by", async () => {
  const error = await failsWith(
    "USAGE",
    () => selectOne(store, parseQuery("zlib")),
    /zlib matches 3 specs of the store \/opt/,
  );
  assert.match(error.message, /zlib@1\.9\/aaaaaaa, zlib@1\.9\/aaaaaaa, zlib@1\.10\/aaaaaaa/);
  assert.match(error.hint ?? "", /by its hash, for instance \/aaaaaaa/);
});

const MISSES = [
  { query: "hdf5@2:", hint: /there is hdf5@1\.14\.6\// },
  { query: "hdf5/zzz", hint: /with another hash/ },
  { query: "hdf", hint: /did you mean hdf5\?/ },
  { query: "zlig", hint: /did you mean zlib\?/ },
  { query: "perl", hint: /stave find/ },
  { query: "@77", hint: /stave find/ },
];
for (const { query, hint } of MISSES)
  test(`what is near ${query} is named`, async () => {
    const error = await failsWith("SPEC_ABSENT", () => selectSome(store, parseQuery(query)), /no spec of the store/);
    assert.match(error.hint ?? "", hint);
  });

test("one spec whose version is none spoils neither the order nor a query", () => {
  const versions = ["1.10", "1.全全", "1.9", "git.main", "", "git.=", "git.v1=1.9.5", "develop", "1.0 2"];
  const odd = makeGraph(versions.length, () => []).map((node, at) => ({
    ...node,
    ...{ name: "zlib", version: versions[at] ?? "" },
  }));
  const place: Candidates = { nodes: odd, graph: graphOf(odd), place: "the cache" };
  const sorted = names(select(place, []));
  assert.deepEqual(sorted, [
    ...["zlib@1.0 2", "zlib@1.全全", "zlib@git.=", "zlib@", "zlib@git.main"],
    ...["zlib@1.9", "zlib@git.v1=1.9.5", "zlib@1.10", "zlib@develop"],
  ]);
  assert.deepEqual(names(select({ ...place, nodes: odd.toReversed() }, [])), sorted);
  assert.deepEqual(names(select(place, [parseQuery("zlib@1.9:1.10")])), [
    ...["zlib@1.9", "zlib@git.v1=1.9.5", "zlib@1.10"],
  ]);
});
