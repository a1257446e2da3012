// Proves that tagged images fit into their budget, hold what an image with a layer per spec holds, and cost nothing if
// nothing changed.
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { OciCache } from "../../../lib/cache/oci-cache.ts";
import { parseCompression } from "../../../lib/image/pack/compression.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { type Digest, digestOf } from "../../../lib/oci/digest.ts";
import { type PushOptions, planOf, push } from "../../../lib/ops/push/push.ts";
import type { SpecNode } from "../../../lib/spack/spec/node.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import { layerOrder } from "../../../lib/spack/spec/spec-orders.ts";
import { Store } from "../../../lib/spack/store/store.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { Target } from "../../../lib/target/target.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock as clock } from "../../../lib/util/time.ts";
import { makeSpecs } from "../../../scripts/histories.ts";
import { makeBase } from "../../../scripts/make-base.ts";
import { makeEnvironment } from "../../../scripts/make-environment.ts";
import { makeStore } from "../../../scripts/make-store.ts";
import { emptyLayout, goldenCache } from "../../support/caches.ts";
import { connect } from "../../support/client.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { readImage } from "../../support/read-image.ts";
import { startRegistry } from "../../support/registry.ts";
import { temporaryFolder } from "../../support/tree.ts";

const memory = (): LayerMemory =>
  new LayerMemory(new DiskCache({ folder: temporaryFolder(), clock }), parseCompression("gzip"));

describe("the golden environment in few layers", async () => {
  const { store } = await goldenStore();
  const whole = await emptyLayout();
  await push(pushOptions(store, whole, { tags: ["app"] }));
  const expected = await readImage(whole, "app");
  for (const [name, budget, compression] of [
    ["one layer", 1, "gzip"],
    ["three layers", 3, "gzip"],
    ["three layers of zstd", 3, "zstd"],
  ] as const)
    test(name, async () => {
      const target = await emptyLayout();
      const options = pushOptions(store, target, { tags: ["app"], budget, compression: parseCompression(compression) });
      const report = await push(options);
      assert.deepEqual(report.failures, []);
      const image = await readImage(target, "app");
      assert.equal(image.digests.length, budget);
      assert.deepEqual(new Map([...image.entries].sort()), new Map([...expected.entries].sort()));
      assert.deepEqual(image.specs.join(" ").split(" ").sort(), [...expected.specs].sort());
      const again = await push({ ...options, force: true });
      assert.equal(again.images[0]?.isNew, false, "the same bytes again");
    });

  test("over a base image, whose layers count", async () => {
    const target = await emptyLayout();
    const folder = temporaryFolder();
    makeBase(folder, { tag: "base" });
    const from = await LayoutTarget.open(folder, { clock });
    const source = { name: "base:1", target: from, reference: "base" };
    const options = pushOptions(store, target, { tags: ["app"], base: source });
    const below = (await readImage(from, "base")).digests.length;
    await push({ ...options, budget: below + 2 });
    assert.equal((await readImage(target, "app")).digests.length, below + 2);
    // What changed is checked over the base again, with the layers that stay.
    const less = await push({ ...options, budget: below + 2, environment: { inspections: "none" } });
    assert.deepEqual([less.failures, less.images[0]?.isNew], [[], true]);
    for (const budget of [below, 0])
      await failsWith("BUDGET_EXCEEDED", push({ ...options, tags: ["other"], budget }), /does not fit into/);
  });

  test("layers that Spack wrote are compressed again, and stay alone if possible", async () => {
    const { target } = await goldenCache("spack-1.2/plain.oci");
    // One spec is packed here, the others are Spack's.
    const options = pushOptions(store, target, { tags: ["app"] });
    await push({ ...options, tags: [], force: true, only: "package", roots: [named(store, "fleet")] });
    for (const budget of [6, 2]) {
      await push({ ...options, tags: [`app-${budget}`], budget });
      const image = await readImage(target, `app-${budget}`);
      assert.equal(image.digests.length, budget);
      assert.deepEqual(new Map([...image.entries].sort()), new Map([...expected.entries].sort()));
    }
  });
});

/** A store of many small specs; all of them are roots. */
async function manySpecs(specs: number): Promise<{ store: Store; roots: SpecNode[] }> {
  const root = join(temporaryFolder(), "store");
  makeStore(root, { bytes: specs * 6000, files: specs * 6, specs, seed: 5 });
  const store = await Store.open(root, { clock });
  const roots = [...store.records()].flatMap(({ node, installed }) =>
    installed && node.external === undefined ? [node] : [],
  );
  return { store, roots };
}

describe("an environment of 60 specs in a registry", async () => {
  const { store, roots } = await manySpecs(60);
  const registry = await startRegistry();
  const client = connect(registry.host, "org/cache");
  const options = (target: Target, more: Partial<PushOptions> = {}): PushOptions => ({
    ...{ store, target, cache: new OciCache(target), roots, jobs: 2, tags: ["app"], budget: 20 },
    ...more,
  });
  test("fits, a plan says how, and a push without changes sends nothing", async () => {
    try {
      const { target } = client;
      const planned = (await planOf(options(target))).images[0];
      assert.equal(planned?.layers, 20);
      assert.ok(planned.joined.every(({ isKept, specs }) => !isKept && specs.length > 1));
      await push(options(target));
      const image = await readImage(target, "app");
      assert.equal(image.digests.length, 20);

      const unchanged = (await planOf(options(target))).images[0];
      assert.ok(unchanged?.joined.length && unchanged.joined.every(({ isKept }) => isKept));
      const before = registry.requests.length;
      const warm = await push(options(target));
      assert.equal(warm.images[0]?.isNew, false);
      assert.equal(warm.totals.sentBytes, 0);
      const requests = registry.requests.slice(before);
      // The tags, the tagged manifest and its config.
      assert.ok(requests.length <= 3, requests.map(({ method, path }) => `${method} ${path}`).join(", "));

      // One more tag of the same specs: the images of specs are read, and each joined layer is found to be there.
      const remembering = memory();
      await push(options(target, { tags: ["other"], memory: remembering }));
      const other = await readImage(target, "other");
      assert.deepEqual(other.digests.toSorted(), image.digests.toSorted());
      const second = await push(options(target, { tags: ["third"], memory: remembering }));
      assert.equal(second.totals.sentBytes, 0);
      assert.equal(second.totals.blobs.pushed, 0);
    } finally {
      await client.close();
      await registry.close();
    }
  });
});

describe("layers that are in a registry only", async () => {
  const root = join(temporaryFolder(), "store");
  const sizes = [9_000_000, 8_000_000, 40_000, 30_000, 20_000, 10_000];
  const specs = sizes.map((size, at) => ({ id: `s${at}`, name: `s${at}`, size, needs: [] }));
  makeEnvironment(root, specs, 1);
  const store = await Store.open(root, { clock });
  const roots = [...store.records()].map(({ node }) => node);
  const registry = await startRegistry();
  after(() => registry.close());
  const pushTo = async (repository: string, more: Partial<PushOptions>) => {
    const { target, close } = connect(registry.host, repository);
    const before = registry.requests.length;
    const report = await push({ store, target, cache: new OciCache(target), roots, jobs: 2, ...more });
    assert.deepEqual(report.failures, []);
    await close();
    return { report, requests: registry.requests.slice(before) };
  };
  const blobs = ({ requests }: Awaited<ReturnType<typeof pushTo>>, method: string): string[] =>
    requests.flatMap((one) =>
      one.method === method && one.path.includes("/blobs/sha256:") ? [one.headers.range ?? "whole"] : [],
    );

  test("each is read once, and of large ones first the beginning; what was joined is remembered", async () => {
    await pushTo("org/cache", {});
    const remembering = memory();
    const options = { tags: ["app"], budget: 1, memory: remembering };
    const first = await pushTo("org/cache", options);
    assert.equal(first.report.totals.packedBytes, 0);
    const layers = blobs(first, "GET").length - sizes.length;
    assert.equal(layers, sizes.length + 2, "configs are read, each layer, and two beginnings");
    assert.equal(blobs(first, "GET").filter((range) => range === "bytes=0-16383").length, 2);

    // Another tag: the layer is made from the same ones, so it is known, and the registry has it.
    const second = await pushTo("org/cache", { ...options, tags: ["other"] });
    assert.equal(second.report.totals.sentBytes, 0);
    assert.equal(blobs(second, "GET").length, sizes.length, "configs only");
    assert.equal(blobs(second, "HEAD").length <= 2, true, "the joined layer and the config");
    const third = await pushTo("org/cache", options);
    assert.deepEqual([...blobs(third, "GET"), ...blobs(third, "HEAD")].length, 1, "the config of the tag");
  });
});

test("a remembered layer that cannot be made again with its digest is joined anew", async () => {
  const { store } = await goldenStore();
  const remembering = memory();
  const wrong = { digest: digestOf("other"), size: 9, diffId: digestOf("archive"), entriesSize: 5 };
  const lying = new Proxy(remembering, {
    get: (object, key) => (key === "recallJoined" ? () => wrong : Reflect.get(object, key, object).bind(object)),
  });
  const target = await emptyLayout();
  const report = await push(pushOptions(store, target, { tags: ["app"], budget: 3, memory: lying }));
  assert.deepEqual(report.failures, []);
  await readImage(target, "app");
});

test("a changed leaf re-sends its own layer and the one that it shares", async () => {
  const { store, roots } = await manySpecs(40);
  const target = await emptyLayout();
  const options = { store, target, cache: new OciCache(target), roots, jobs: 2, tags: ["app"], budget: 15 };
  await push(options);
  const before = await readImage(target, "app");
  const needed = new Set(roots.flatMap(({ edges }) => edges.map(({ child }) => child.hash)));
  const leaf = roots.find(({ hash }) => !needed.has(hash)) ?? assert.fail();
  // Its prefix changes, so its layer does; the hash stays, and --force packs all again.
  appendFileSync(join(store.prefixOf(leaf), ".spack/spec.json"), "\n");
  await push({ ...options, force: true });
  const after = await readImage(target, "app");
  const lost = before.digests.filter((digest) => !after.digests.includes(digest));
  assert.equal(lost.length, 1);
  assert.match(before.specs[before.digests.indexOf(lost[0] as Digest)] ?? "", new RegExp(leaf.name));
});

describe("images of specs with more dependencies than the budget allows", async () => {
  const root = join(temporaryFolder(), "store");
  const specs = makeSpecs(40, 2);
  makeEnvironment(root, specs, 1 / 4000);
  const store = await Store.open(root, { clock });
  const roots = [...store.records()].map(({ node }) => node);
  const targetOf = async (budget: number, more: Partial<PushOptions> = {}): Promise<Target> => {
    const target = await emptyLayout();
    const report = await push({ store, target, cache: new OciCache(target), roots, jobs: 2, budget, ...more });
    assert.deepEqual(report.failures, []);
    return target;
  };
  const whole = await targetOf(100);
  const target = await targetOf(8);
  const deep = roots.filter((node) => layerOrder([node]).length > 8);

  test("join those, and end with the spec's own layer, so that it can be installed", async () => {
    assert.ok(deep.length > 5);
    const cache = new OciCache(target);
    const joined = new Set<string>();
    for (const node of roots) {
      const tag = specTag(node);
      const [image, expected] = [await readImage(target, tag), await readImage(whole, tag)];
      assert.equal(image.digests.at(-1), expected.digests.at(-1));
      assert.deepEqual(new Map([...image.entries].sort()), new Map([...expected.entries].sort()));
      assert.ok(image.digests.length <= 8 && image.digests.length > Math.min(4, expected.digests.length - 1));
      const found = await cache.fetchSpec(tag);
      assert.equal(found.joined.length > 0, deep.includes(node));
      for (const [at, names] of image.specs.entries()) if (names.includes(" ")) joined.add(image.digests[at] ?? "");
    }
    // Images share joined layers where they can.
    assert.ok(joined.size < deep.length * 7, `${joined.size} layers for ${deep.length} images`);
  });

  test("the same each time, however many threads pack", async () => {
    const other = await targetOf(8, { jobs: 1 });
    for (const node of deep)
      assert.deepEqual(
        (await readImage(other, specTag(node))).digests,
        (await readImage(target, specTag(node))).digests,
      );
  });

  test("they lack no layer, and an image of all can be made from them", async () => {
    const report = await push({ store, target, cache: new OciCache(target), roots, verify: true, tags: ["app"] });
    assert.deepEqual(new Set(report.specs.map(({ outcome }) => outcome)), new Set(["present"]));
    assert.equal((await readImage(target, "app")).digests.length, 40);
  });
});
