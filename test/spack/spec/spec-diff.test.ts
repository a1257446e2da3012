// Proves that the reasons why two specs have different hashes are found.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readLockfile } from "../../../lib/spack/spec/lockfile.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { specDifferences } from "../../../lib/spack/spec/spec-diff.ts";
import { readSpecDocument } from "../../../lib/spack/spec/spec-file.ts";
import { specDocument } from "../../../lib/spack/spec/spec-writer.ts";
import type { JsonObject } from "../../../lib/spack/text/json-value.ts";
import { golden } from "../../support/golden.ts";
import { makeGraph } from "../../support/graph.ts";

const lock = readLockfile(readFileSync(join(golden("spack-1.2"), "spack.lock")), "spack.lock");
const named = (name: string): SpecNode => {
  const found = [...lock.graph.nodes()].find((node) => node.name === name);
  assert.ok(found);
  return found;
};

/** The same spec with one node changed, and new hashes for all its dependents. */
function changed(root: SpecNode, name: string, change: JsonObject): SpecNode {
  const document = specDocument(root, lock.graph);
  const text = JSON.stringify(document["nodes"]);
  const nodes: JsonObject[] = JSON.parse(text);
  const renamed = nodes.map((node) => ({ ...node, ...(node["name"] === name ? change : {}) }));
  // New hashes for all; they need not be true here.
  const other = JSON.stringify(renamed).replaceAll(
    /"hash":"([a-z2-7]{4})/g,
    (_, start) => `"hash":"${[...start].reverse().join("")}`,
  );
  return readSpecDocument({ spec: { ...document, nodes: JSON.parse(other) } }, { name: "changed" }).root;
}

const voyage = named("voyage");
const cases: { name: string; right: SpecNode; expect: string[] }[] = [
  { name: "nothing", right: voyage, expect: [] },
  { name: "only the hashes", right: changed(voyage, "none", {}), expect: ["voyage hash"] },
  {
    name: "the version of the root",
    right: changed(voyage, "voyage", { version: "9" }),
    expect: ["voyage version 0.4.2 9"],
  },
  {
    name: "the recipe of a dependency",
    right: changed(voyage, "zlib-ish", { package_hash: "x" }),
    expect: ["voyage > hull > zlib-ish package_hash pavlw5a7ugv5yrh45xiiuwpnbceo2dkzti3y3wyn5thx2inymulq==== x"],
  },
  {
    name: "the target, far below",
    right: changed(voyage, "gcc-runtime", { arch: { platform: "linux", platform_os: "debian12", target: "zen3" } }),
    expect: ["voyage > gcc-runtime target x86_64 zen3"],
  },
];
for (const { name, right, expect } of cases)
  test(`${name} is told`, () => {
    const found = specDifferences(voyage, right).map(
      ({ path, attribute, left, right: there }) =>
        `${path.join(" > ")} ${attribute}${attribute === "hash" ? "" : ` ${left} ${there}`}`,
    );
    assert.deepEqual(found, expect);
  });

test("two wide graphs that share nothing are compared in time that grows with their size", () => {
  const wide = (start: number) => {
    const layers = 40;
    const nodes = makeGraph(start + layers * 10, (at) =>
      at < start || at + 10 >= start + layers * 10
        ? []
        : Array.from({ length: 10 }, (_, k) => start + (Math.floor((at - start) / 10) + 1) * 10 + k),
    );
    const [node] = nodes.slice(start);
    assert.ok(node);
    return node;
  };
  assert.ok(specDifferences(wide(0), wide(1000)).length > 0);
});
