// Proves which specs an installation takes from what it has read, and which it reads itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadOciCache } from "../../../lib/cache/oci-cache.ts";
import { InstallSource } from "../../../lib/ops/install/source.ts";
import { parseQuery } from "../../../lib/spack/query/spec-parser.ts";
import { specDocument } from "../../../lib/spack/spec/spec-writer.ts";
import { edgesOf } from "../../../lib/spack/spec/traversal.ts";
import type { Target } from "../../../lib/target/target.ts";
import { layoutForTests, madeSpec, pushSpec } from "../../support/caches.ts";

const lib = madeSpec("lib", "1.0");
const tool = madeSpec("tool", "1.0", [lib]);
const back = madeSpec("backdoor", "1.0");

/** The image of `tool`, whose document has another content for `lib` under its hash, which it claims to be old. */
async function pushLiar(target: Target): Promise<void> {
  const document = JSON.parse(JSON.stringify(specDocument(tool.root, tool.graph)));
  const [node] = document.nodes.filter(({ name }: { name: string }) => name === "lib");
  node.annotations = { original_specfile_version: 3 };
  node.parameters = { build_system: "generic", evil: true };
  node.dependencies = [
    { name: "backdoor", hash: back.root.hash, parameters: { deptypes: ["link", "run"], virtuals: [] } },
  ];
  document.nodes.push(...JSON.parse(JSON.stringify(specDocument(back.root, back.graph))).nodes);
  await pushSpec(target, tool, { document });
}

async function dependenciesOfLib(targets: readonly Target[]): Promise<string[]> {
  const source = new InstallSource(targets.map((target) => new ReadOciCache(target)));
  const found = [];
  for (const { root } of [tool, lib]) found.push(...(await source.find(parseQuery(`/${root.hash}`), root.name, {})));
  const [, one] = found;
  assert.equal(one?.root.hash, lib.root.hash);
  return edgesOf(one.root).map(({ child }) => child.name);
}

test("another cache does not describe the specs of a cache", async () => {
  const [good, evil] = [await layoutForTests(), await layoutForTests()];
  await pushSpec(good, lib);
  await pushLiar(evil);
  assert.deepEqual(await dependenciesOfLib([good, evil]), []);
});

test("a document with nodes that cannot be verified describes its own spec alone", async () => {
  const cache = await layoutForTests();
  await pushSpec(cache, lib);
  await pushLiar(cache);
  assert.deepEqual(await dependenciesOfLib([cache]), []);
});

test("a spec of another document of the same cache is known, and its config is not read", async () => {
  const cache = await layoutForTests();
  await pushSpec(cache, lib, { config: () => "no config" });
  await assert.rejects(new InstallSource([new ReadOciCache(cache)]).find(parseQuery(`/${lib.root.hash}`), "lib", {}));
  await pushSpec(cache, tool);
  assert.deepEqual(await dependenciesOfLib([cache]), []);
});
