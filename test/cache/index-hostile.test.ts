// Proves that each flaw of a cache or index is reported and leaves the rest usable.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { indexText } from "../../lib/cache/index-write.ts";
import { newNodesOf } from "../../lib/cache/new-nodes.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { isStaveError } from "../../lib/errors.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { specDocument } from "../../lib/spack/spec/spec-writer.ts";
import { writeJson } from "../../lib/spack/text/json.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import type { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { emptyLayout, madeSpec, type OddImage, pushSpec } from "../support/caches.ts";
import { connect } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { fakeHash, fakeNode } from "../support/graph.ts";
import { startRegistry } from "../support/registry.ts";

const odd = madeSpec("odd", "1.0", [madeSpec("below", "2.0")]);
const other = madeSpec("other", "1.0");
const good = madeSpec("good", "1.0");
const documentOf = (spec = odd): JsonObject => specDocument(spec.root, spec.graph);
const nodesOf = (document: JsonObject): JsonObject[] => document["nodes"] as JsonObject[];
/** The same document with its first node changed after it was hashed. */
const changed = (how: JsonObject): JsonObject => {
  const [first, ...rest] = nodesOf(documentOf());
  return { ...documentOf(), nodes: [{ ...first, ...how }, ...rest] };
};
// Nodes marked as hashed in an older format cannot be verified: only the structure reveals their cycle.
const older = (node: JsonObject): JsonObject => ({ ...node, annotations: { original_specfile_version: 4 } });
const cycle = {
  _meta: { version: 5 },
  nodes: [older(fakeNode("odd", 1, [{ name: "b", at: 2 }])), older(fakeNode("b", 2, [{ name: "odd", at: 1 }]))],
};

const flaws: { name: string; image: OddImage; says: RegExp }[] = [
  {
    name: "an artifact",
    image: { manifest: (m) => ({ ...m, artifactType: "application/x.y" }) },
    says: /an artifact of type application\/x\.y/,
  },
  {
    name: "an artifact by its config",
    image: {
      manifest: (m) => ({
        ...m,
        config: { ...(m["config"] as object), mediaType: "application/vnd.oci.empty.v1+json" },
      }),
    },
    says: /an artifact whose config is of type/,
  },
  { name: "an image without layers", image: { manifest: (m) => ({ ...m, layers: [] }) }, says: /without layers/ },
  { name: "a config without spec", image: { config: ({ spec: _, ...c }) => c }, says: /has no spec/ },
  { name: "a config that is a list", image: { config: () => [] }, says: /a list, expected an object/ },
  {
    name: "a spec without nodes",
    image: { config: (c) => ({ ...c, spec: { _meta: { version: 5 }, nodes: [] } }) },
    says: /is empty/,
  },
  { name: "a spec of the future", image: { document: { ...documentOf(), _meta: { version: 9 } } }, says: /version/ },
  {
    name: "another spec than the tag's",
    image: { document: documentOf(other) },
    says: /contains another spec, other@1\.0\/\w{7}/,
  },
  {
    name: "a spec changed after it was hashed",
    image: { document: changed({ namespace: "evil" }) },
    says: /its content gives [a-z2-7]{32}/,
  },
  {
    name: "a dependency that is missing",
    image: { document: { ...documentOf(), nodes: nodesOf(documentOf()).slice(0, 1) } },
    says: /depends on below\/\w{32}, which is not in it/,
  },
  { name: "a cycle", image: { tag: `odd-1.0-${fakeHash(1)}.spack`, document: cycle }, says: /form a cycle: / },
  {
    name: "an archive other than its checksum's",
    image: { config: (c) => ({ ...c, binary_cache_checksum: { hash_algorithm: "sha256", hash: "00" } }) },
    says: /binary_cache_checksum\.hash is the string "00"/,
  },
  {
    name: "a layout of the future",
    image: { config: (c) => ({ ...c, buildcache_layout_version: 4 }) },
    says: /buildcache_layout_version is the number 4/,
  },
  {
    name: "a config that says it is huge",
    image: { manifest: (m) => ({ ...m, config: { ...(m["config"] as object), size: 1e9 } }) },
    says: /has 1000000000 bytes, expected at most/,
  },
  {
    name: "fewer diff ids than layers",
    image: { config: (c) => ({ ...c, rootfs: { type: "layers", diff_ids: [] } }) },
    says: /has 1 layers, but its config names 0/,
  },
];
for (const { name, image, says } of flaws)
  test(`a spec's tag that is ${name} is named, the rest is indexed`, async () => {
    const target = await emptyLayout();
    await pushSpec(target, madeSpec("good", "1.0"));
    const tag = await pushSpec(target, odd, image);
    const report = await updateIndex(new OciCache(target));
    assert.deepEqual(
      report.skipped.map((skipped) => skipped.tag),
      [tag],
    );
    assert.match(report.skipped[0]?.reason ?? "", says);
    assert.deepEqual([report.specs, report.records, report.isWritten], [1, 1, true]);
    const again = await updateIndex(new OciCache(target));
    assert.deepEqual([again.isCurrent, again.isWritten, again.skipped.length], [true, false, 1]);
  });

test("an image index under a spec's tag is named", async () => {
  const target = await emptyLayout();
  const tag = await pushSpec(target, odd);
  const child = await target.headManifest(tag);
  const bytes = canonicalBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [child] });
  await target.pushManifest(bytes, OCI_INDEX, { tag });
  const { skipped } = await updateIndex(new OciCache(target));
  assert.match(skipped[0]?.reason ?? "", /is an image index, expected the image of one spec/);
});

test("a tag that is deleted while it is read, and a config that is gone, stop nothing", async () => {
  const registry = await startRegistry();
  const { target, close } = connect(registry.host, "org/cache");
  await pushSpec(target, madeSpec("good", "1.0"));
  const tag = await pushSpec(target, odd);
  const gone = await pushSpec(target, other);
  const config = (await new OciCache(target).fetchSpec(gone)).config;
  await target.deleteBlob(config.digest);
  registry.rules.push({ method: "GET", path: new RegExp(`manifests/${tag}`), fault: { status: 404 } });
  const report = await updateIndex(new OciCache(target));
  assert.deepEqual(
    report.skipped.map((skipped) => skipped.tag),
    [tag, gone].sort(),
  );
  assert.equal(report.specs, 1);
  await close();
  await registry.close();
});

test("a manifest without config, and one that is no JSON, are named", async () => {
  const registry = await startRegistry();
  const { target, close } = connect(registry.host, "org/cache");
  const tags = [await pushSpec(target, odd), await pushSpec(target, other), await pushSpec(target, good)];
  const headers = { "content-type": OCI_MANIFEST };
  const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] });
  for (const [at, text] of [body, "no JSON"].entries())
    registry.rules.push({
      method: "GET",
      path: new RegExp(`${tags[at]}$`),
      fault: { status: 200, headers, body: text },
    });
  const report = await updateIndex(new OciCache(target));
  const reasons = report.skipped.map(({ reason }) => reason);
  assert.match(reasons[0] ?? "", /invalid at config/);
  assert.match(reasons[1] ?? "", /not valid JSON/);
  assert.equal(report.specs, 1);
  await close();
  await registry.close();
});

test("when the cache stops to answer, what was read is kept, and the failure is told", async () => {
  const registry = await startRegistry();
  const { target, close } = connect(registry.host, "org/cache", { retry: { attempts: 2 } });
  for (let at = 0; at < 40; at++) await pushSpec(target, madeSpec(`p${at}`, "1.0"));
  const rule = { method: "GET", path: /manifests\/p/, after: 20, fault: { status: 500 } };
  registry.rules.push(rule);
  await failsWith("REGISTRY_ERROR", updateIndex(new OciCache(target)));
  registry.rules.length = 0;
  const before = registry.requests.length;
  const report = await updateIndex(new OciCache(target));
  assert.equal(report.specs, 40);
  assert.ok(report.kept >= 10, `${report.kept} were kept`);
  assert.ok(registry.requests.length - before < 2 * 30 + 8);
  await close();
  await registry.close();
});

// Whoever may push can claim of a node that it was rewritten after it was hashed, so that its hash proves nothing.
const honest = madeSpec("openssl", "3.0");
const backdoor = madeSpec("backdoor", "6.6");
const toBackdoor = { name: "backdoor", hash: backdoor.root.hash };
const claims: { name: string; claim: JsonObject }[] = [
  { name: "rewritten", claim: { annotations: { original_specfile_version: 3 } } },
  { name: "spliced", claim: { build_spec: toBackdoor } },
];
const swappedOf = (claim: JsonObject): JsonObject => ({
  ...{ ...honest.root.raw, hash: undefined },
  dependencies: [{ ...toBackdoor, parameters: { deptypes: ["link", "run"], virtuals: [] } }],
  ...claim,
  hash: honest.root.hash,
});
for (const { name, claim } of claims)
  for (const first of ["honest", "carrier"] as const)
    for (const runs of [1, 2])
      test(`a node that says it is ${name} does not replace a spec: the ${first} first, ${runs} runs`, async () => {
        const target = await emptyLayout();
        const cache = new OciCache(target);
        // The names decide the order in one run.
        const carrier = madeSpec(first === "honest" ? "zebra" : "aardvark", "1.0", [honest]);
        const document = { ...documentOf(carrier), nodes: [carrier.root.raw, swappedOf(claim), backdoor.root.raw] };
        const push = {
          honest: () => pushSpec(target, honest),
          carrier: () => pushSpec(target, carrier, { document: JSON.parse(JSON.stringify(document)) }),
        };
        await push[first]();
        if (runs === 2) await updateIndex(cache);
        await push[first === "honest" ? "carrier" : "honest"]();
        for (const full of [false, true]) {
          const { skipped } = await updateIndex(cache, { full });
          assert.deepEqual(skipped, []);
          const index = await cache.readIndex();
          const found = index?.records.get(honest.root.hash);
          assert.equal(Buffer.from(found?.text ?? "").toString(), writeJson(honest.root.raw));
          assert.deepEqual([found?.inBuildcache, found?.isVerified, index?.records.size], [true, true, 2]);
          assert.equal((await checkIndex(cache, { full })).isCurrent, true);
        }
      });

test("of two nodes that cannot be verified, the one from the image of the spec counts", async () => {
  const own = {
    ...older(honest.root.raw),
    package_hash: "rewritten",
  };
  for (const name of ["aardvark", "zebra"])
    for (const runs of [1, 2]) {
      const target = await emptyLayout();
      const cache = new OciCache(target);
      const carrier = madeSpec(name, "1.0", [honest]);
      const swapped = swappedOf({ annotations: { original_specfile_version: 4 } });
      const nodes = [carrier.root.raw, swapped, backdoor.root.raw];
      await pushSpec(target, carrier, { document: JSON.parse(JSON.stringify({ ...documentOf(carrier), nodes })) });
      if (runs === 2) await updateIndex(cache);
      await pushSpec(target, honest, { document: { ...documentOf(honest), nodes: [own] } });
      for (const full of [false, true]) {
        await updateIndex(cache, { full });
        const index = await cache.readIndex();
        const found = index?.records.get(honest.root.hash);
        assert.equal(Buffer.from(found?.text ?? "").toString(), writeJson(own), `${name}, ${runs} runs`);
      }
    }
});

test("a node with too long a text is skipped, the rest is indexed", async () => {
  const target = await emptyLayout();
  const cache = new OciCache(target);
  await pushSpec(target, good);
  const large = (length: number) => {
    const parameters = { build_system: "generic", cflags: ["a".repeat(length)] };
    return madeSpec(`large${length}`, "1.0", [], { parameters });
  };
  await pushSpec(target, large(1024 * 1024 - 1000));
  const tag = await pushSpec(target, large(1024 * 1024));
  const { skipped, specs } = await updateIndex(cache);
  assert.deepEqual(
    skipped.map((one) => one.tag),
    [tag],
  );
  assert.match(skipped[0]?.reason ?? "", /large1048576.* has \d+ bytes, expected at most 1048576/);
  assert.equal(specs, 2);
});

test("an index that nobody could read is not written", () => {
  const [record] = newNodesOf(good, new Map()).records;
  assert.ok(record !== undefined);
  const text = Buffer.alloc(1024 * 1024, "a");
  const hashes = Array.from({ length: 960 }, (_, at) => fakeHash(at));
  assert.throws(
    () => indexText((hash) => ({ ...record, hash, text }), hashes),
    (error) => isStaveError(error, "TOO_LARGE") && /more than 1000000000 bytes/.test(error.message),
  );
});

async function putIndex(target: LayoutTarget, text: string, size?: number): Promise<void> {
  const bytes = Buffer.from(text);
  const layer = { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length };
  await target.pushBlob(layer, bytesSource(bytes));
  const config = describe(Buffer.from("{}"), OCI_CONFIG);
  await target.pushBlob(config, bytesSource(Buffer.from("{}")));
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: [{ ...layer, size: size ?? layer.size }],
  };
  await target.pushManifest(canonicalBytes(manifest), OCI_MANIFEST, { tag: "index.spack" });
}

const record = (spec: unknown, more: object = { ref_count: 0, in_buildcache: true }): object => ({ spec, ...more });
const database = (installs: unknown, version: unknown = "8"): string =>
  JSON.stringify({ database: { version, installs } });
const whole = database({ [good.root.hash]: record(good.root.raw) });

const unreadable: { name: string; text: string; size?: number; says: RegExp }[] = [
  { name: "is truncated", text: whole.slice(0, -30), says: /truncated/ },
  { name: "is empty", text: "", says: /expected an object/ },
  { name: "is no JSON", text: "<html>", says: /expected an object/ },
  { name: "has something after it", text: `${whole}x`, says: /the end of the document/ },
  { name: "has no version", text: '{"database":{"installs":{}}}', says: /database\.version is missing/ },
  { name: "has no installs", text: '{"database":{"version":"8"}}', says: /database\.installs is missing/ },
  { name: "has a list of installs", text: database([]), says: /expected an object/ },
  { name: "is of an unknown old version", text: database({}, "0.9"), says: /version/ },
  { name: "says it has 2 GB", text: whole, size: 2e9, says: /has 2000000000 bytes, expected at most/ },
  { name: "is shorter than it says", text: whole, size: whole.length + 1, says: /bytes/ },
  {
    name: "has a spec twice",
    text: whole.replace(/(\{"version":"8","installs":\{)(.*)(\}\}\})$/, "$1$2,$2$3"),
    says: /two records/,
  },
  { name: "has two versions", text: whole.replace(/\}\}$/, ',"version":"7"}}'), says: /version twice/ },
  { name: "has two lists of records", text: whole.replace(/\}\}$/, ',"installs":{}}}'), says: /installs twice/ },
];
for (const { name, text, size, says } of unreadable)
  test(`an index that ${name} is made anew`, async () => {
    const target = await emptyLayout();
    await pushSpec(target, good);
    await putIndex(target, text, size);
    const cache = new OciCache(target);
    const check = await checkIndex(cache);
    assert.match(check.unreadable ?? "", says);
    assert.deepEqual([check.isCurrent, check.isWritten], [false, false]);
    const report = await updateIndex(cache);
    assert.deepEqual([report.isWritten, report.specs, report.unreadable], [true, 1, check.unreadable]);
    assert.equal((await checkIndex(cache)).isCurrent, true);
  });

test("an index of a newer Spack is left alone, unless it is to be made anew", async () => {
  const target = await emptyLayout();
  await pushSpec(target, good);
  await putIndex(target, database({}, "9"));
  const error = await failsWith(
    "UNSUPPORTED",
    updateIndex(new OciCache(target)),
    /database version 9, expected at most 8/,
  );
  assert.match(error.hint ?? "", /update stave/);
  assert.equal((await updateIndex(new OciCache(target), { full: true })).isWritten, true);
});

test("an index whose version stands last is read", async () => {
  const target = await emptyLayout();
  await pushSpec(target, good);
  await putIndex(target, whole.replace('"version":"8",', "").replace(/\}\}$/, ',"version":"8"}}'));
  const report = await checkIndex(new OciCache(target));
  assert.deepEqual([report.isCurrent, report.specs, report.unreadable], [true, 1, undefined]);
});

const child = madeSpec("child", "1.0");
const parent = madeSpec("parent", "1.0", [child]);
const lie = { ...good.root.raw, version: "6.6.6" };
const flawed: { name: string; installs: Record<string, unknown>; says: RegExp }[] = [
  { name: "lies about its hash", installs: { [good.root.hash]: record(lie) }, says: /content gives the DAG hash/ },
  {
    name: "stands under another hash",
    installs: { [other.root.hash]: record(good.root.raw) },
    says: /the key of the record/,
  },
  {
    name: "has a key that is no hash",
    installs: { __proto__x: record(good.root.raw) },
    says: /only DAG hashes as keys/,
  },
  { name: "is no object", installs: { [good.root.hash]: 7 }, says: /expected an object/ },
  { name: "has no spec", installs: { [good.root.hash]: {} }, says: /spec is missing/ },
  {
    name: "is on a cycle",
    installs: Object.fromEntries(cycle.nodes.map((node) => [String(node["hash"]), record(node)])),
    says: /form a cycle/,
  },
];
for (const { name, installs, says } of flawed)
  test(`a record that ${name} is left out and healed, the others are used`, async () => {
    const target = await emptyLayout();
    for (const spec of [good, child, parent]) await pushSpec(target, spec);
    const sound = Object.fromEntries([child, parent].map(({ root }) => [root.hash, record(root.raw)]));
    await putIndex(target, database({ ...installs, ...sound }));
    const cache = new OciCache(target);
    const index = await cache.readIndex();
    assert.deepEqual([...(index?.records.keys() ?? [])].sort(), Object.keys(sound).sort());
    assert.match(index?.problems[0]?.reason ?? "", says);
    const report = await updateIndex(cache);
    assert.deepEqual([report.isWritten, report.specs, report.kept], [true, 3, 2]);
    assert.deepEqual((await cache.readIndex())?.problems, []);
  });

test("a record whose dependency is missing, at any distance, is read from its image again", async () => {
  const target = await emptyLayout();
  const top = madeSpec("top", "1.0", [parent]);
  for (const spec of [child, parent, top]) await pushSpec(target, spec);
  await putIndex(
    target,
    database(Object.fromEntries([top, good, parent].map(({ root }) => [root.hash, record(root.raw)]))),
  );
  const index = await new OciCache(target).readIndex();
  assert.deepEqual(index?.incomplete, new Set([top.root.hash, parent.root.hash]));
  const report = await updateIndex(new OciCache(target));
  assert.deepEqual([report.isWritten, report.records, report.specs], [true, 3, 3]);
});
