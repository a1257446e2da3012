// Proves that indexes written by real Spack are read, and rebuilt from the images beside them with the same meaning.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readIndexText } from "../../lib/cache/index-read.ts";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { readDatabase } from "../../lib/spack/store/database.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { readAll } from "../../lib/util/stream.ts";
import { emptyLayout, goldenCache, madeSpec, pushSpec } from "../support/caches.ts";

const LAYOUTS = [
  { layout: "spack-1.2/plain.oci", version: 8, specs: 8, records: 10 },
  { layout: "spack-0.23/plain.oci", version: 7, specs: 7, records: 8 },
  { layout: "spack-1.2/padded.oci", version: 8, specs: 6, records: 8 },
];

async function indexBytes(cache: OciCache): Promise<Buffer> {
  const { bytes } = await cache.target.fetchManifest("index.spack");
  const { layers } = JSON.parse(bytes.toString());
  return await readAll(await cache.target.fetchBlob(layers[0]), 1e6, "index");
}

for (const { layout, version, specs, records } of LAYOUTS) {
  test(`${layout}: Spack's index is read`, async () => {
    const cache = await goldenCache(layout);
    const index = await cache.readIndex();
    assert.ok(index);
    assert.deepEqual([index.version, index.records.size, index.problems], [version, records, []]);
    const bytes = await indexBytes(cache);
    assert.equal(index.digest, digestOf(bytes));
    const database = readDatabase({ name: "index", bytes });
    for (const { hash, name, version: v, inBuildcache, refCount, dependencies } of index.records.values()) {
      const record = database.records.get(hash);
      const edges = record?.node.edges.map((edge) => edge.child.hash);
      assert.deepEqual(
        [name, v, inBuildcache, refCount, dependencies],
        [record?.node.name, record?.node.version, record?.inBuildcache, record?.refCount, edges],
      );
    }
  });

  test(`${layout}: nothing is to be done`, async () => {
    const cache = await goldenCache(layout);
    const report = await updateIndex(cache);
    assert.deepEqual([report.isCurrent, report.isWritten, report.specs, report.rounds], [true, false, specs, 1]);
    assert.deepEqual([report.added, report.dropped, report.skipped], [[], [], []]);
    assert.equal((await checkIndex(cache, { full: true })).isCurrent, true);
  });

  test(`${layout}: made anew from the images it says the same, record by record`, async () => {
    const cache = await goldenCache(layout);
    const before = JSON.parse((await indexBytes(cache)).toString());
    await cache.target.deleteManifest("index.spack");
    assert.equal((await checkIndex(cache)).isCurrent, false);
    const report = await updateIndex(cache);
    assert.deepEqual([report.isWritten, report.specs, report.records, report.version], [true, specs, records, version]);
    const text = await indexBytes(cache);
    const after = JSON.parse(text.toString());
    assert.equal(after.database.version, before.database.version);
    assert.deepEqual(Object.keys(after.database.installs), Object.keys(before.database.installs).sort());
    for (const [hash, record] of Object.entries(before.database.installs))
      assert.equal(JSON.stringify(after.database.installs[hash]), JSON.stringify(record), hash);
    assert.equal(readIndexText({ name: "new", bytes: text, digest: digestOf(text) }).problems.length, 0);
    assert.equal((await checkIndex(cache)).isCurrent, true);
  });
}

test("specs of both generations in one cache: one index, of the newer version, that is read again", async () => {
  const cache = await goldenCache("spack-0.23/plain.oci");
  const other = await goldenCache("spack-1.2/plain.oci");
  const { GraphCopy } = await import("../../lib/copy.ts");
  const copy = new GraphCopy(other.target, cache.target, {});
  for (const tag of (await other.list()).specs.keys()) await copy.copy(tag, tag);
  const report = await updateIndex(cache);
  assert.deepEqual([report.version, report.specs, report.added.length, report.kept], [8, 15, 8, 7]);
  const incremental = await indexBytes(cache);
  const index = await cache.readIndex();
  assert.deepEqual(index?.problems, []);
  const fleet = [...(index?.records.values() ?? [])].filter((record) => record.name === "fleet");
  assert.deepEqual(fleet.map((record) => record.dependencies.length).sort(), [2, 4]);
  await updateIndex(cache, { full: true });
  assert.ok(incremental.equals(await indexBytes(cache)), "the same bytes whether in steps or at once");
});

test("a node that images describe in different ways is written as its hash was made, in whatever order they come", async () => {
  const child = madeSpec("child", "1.0");
  // As another release of Spack writes the target of a spec that it did not concretize itself.
  const target = { name: "x86_64", vendor: "generic", features: [], generation: 0, parents: [] };
  const push = async (cache: OciCache, name: string): Promise<void> => {
    const spec = madeSpec(name, "1.0", [child]);
    const document = specDocument(spec.root, spec.graph);
    const [root, node = {}] = document["nodes"] as JsonObject[];
    const arch = { ...(node["arch"] as JsonObject), target };
    const changed = { ...document, nodes: [root, { ...node, arch }] };
    await pushSpec(cache.target, spec, name === "one" ? {} : { document: changed as JsonObject });
  };
  const made = async (...order: string[]): Promise<string> => {
    const cache = new OciCache(await emptyLayout());
    for (const name of order) {
      await push(cache, name);
      const { added } = await updateIndex(cache);
      assert.equal(added.length, 1);
    }
    const text = (await indexBytes(cache)).toString();
    await updateIndex(cache, { full: true });
    assert.equal((await indexBytes(cache)).toString(), text, `${order} in steps and at once`);
    return text;
  };
  const text = await made("one", "two", "three");
  assert.equal(text.includes('"vendor"'), false, "the hash was made of the name alone");
  assert.equal(await made("three", "two", "one"), text);
  assert.equal(await made("two", "one", "three"), text);
});
