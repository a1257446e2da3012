// Proves that a tagged image with eStargz layers has the files of a plain one, that the images of single specs stay as
// they are, and that nothing is made twice or taken for a plain layer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCompression } from "../../../lib/image/pack/compression.ts";
import { TOC_DIGEST, UNCOMPRESSED_SIZE } from "../../../lib/image/pack/estargz.ts";
import { LayerMemory } from "../../../lib/image/pack/layer-memory.ts";
import { type PushOptions, planOf, push } from "../../../lib/ops/push/push.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { Target } from "../../../lib/target/target.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock as clock } from "../../../lib/util/time.ts";
import { makeBase } from "../../../scripts/make-base.ts";
import { layoutForTests } from "../../support/caches.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { readImage } from "../../support/read-image.ts";
import { temporaryFolder } from "../../support/tree.ts";

const { store } = await goldenStore();
const options = (target: Target, more: Partial<PushOptions> = {}): PushOptions =>
  pushOptions(store, target, { tags: ["app"], image: { estargz: true }, ...more });
const whole = await layoutForTests();
await push(options(whole, { image: {} }));
const plain = await readImage(whole, "app");
const ADDED = [".no.prefetch.landmark", "stargz.index.json"];

const layersOf = async (target: Target, tag = "app") => {
  const document = parseFetched(await target.fetchManifest(tag), "it");
  assert.ok(document.kind === "manifest");
  return document.value.layers;
};

for (const budget of [100, 3])
  test(`the files of a plain image in at most ${budget} layers, and annotations on each`, async () => {
    const target = await layoutForTests();
    const report = await push(options(target, { budget }));
    assert.deepEqual(report.failures, []);
    const image = await readImage(target, "app");
    assert.equal(image.digests.length, Math.min(budget, plain.digests.length));
    const files = new Map([...image.entries].filter(([path]) => !ADDED.includes(path)));
    assert.deepEqual(new Map([...files].sort()), new Map([...plain.entries].sort()));
    for (const { annotations, mediaType } of await layersOf(target)) {
      assert.match(annotations?.[TOC_DIGEST] ?? "", /^sha256:[0-9a-f]{64}$/);
      assert.match(annotations?.[UNCOMPRESSED_SIZE] ?? "", /^[1-9]\d+$/);
      assert.match(mediaType, /gzip$/);
    }
    for (const name of image.specs) assert.match(name, /^[^#]+ # estargz$/);
    const [made] = report.images;
    assert.equal(
      made?.estargz?.bytes,
      image.sizes.reduce((sum, size) => sum + size, 0),
    );
    assert.ok(made?.estargz && made.estargz.plainBytes < made.estargz.bytes);
    const tag = specTag(named(store, "hull"));
    assert.deepEqual(await layersOf(target, tag), await layersOf(whole, tag), "images of specs stay");
  });

test("remembered, so that a push without changes sends and makes nothing", async () => {
  const target = await layoutForTests();
  const memory = new LayerMemory(new DiskCache({ folder: temporaryFolder(), clock }), parseCompression("gzip"));
  await push(options(target, { memory }));
  let opened = 0;
  const counting = new Proxy(target, {
    get(object, key) {
      const found = Reflect.get(object, key, object);
      if (key === "fetchBlob") opened++;
      return typeof found === "function" ? found.bind(object) : found;
    },
  });
  const before = opened;
  const again = await push(options(counting, { memory }));
  assert.deepEqual([again.images[0]?.isNew, again.totals.sentBytes], [false, 0]);
  assert.ok(opened - before < 30, "documents are read, layers are not");
  // Without the memory it is made again, the same.
  assert.equal((await push(options(target))).images[0]?.isNew, false);
});

test("a plain image under the same tag takes no eStargz layers, nor the other way round", async () => {
  const target = await layoutForTests();
  await push(options(target, { budget: 3 }));
  await push(options(target, { budget: 3, image: {} }));
  assert.deepEqual((await readImage(target, "app")).entries, plain.entries);
  for (const { annotations } of await layersOf(target)) assert.equal(annotations, undefined);
  await push(options(target, { budget: 3 }));
  for (const { annotations } of await layersOf(target)) assert.ok(annotations);
});

test("slim, and with a view and a user, whose layers stay plain", async () => {
  const target = await layoutForTests();
  const report = await push(options(target, { image: { estargz: true, slim: true, addUser: "app" } }));
  assert.deepEqual(report.failures, []);
  const image = await readImage(target, "app");
  assert.ok(image.entries.has("etc/passwd"));
  assert.ok(!image.entries.has(`${store.prefixOf(named(store, "hull")).slice(1)}/include/hull.h`));
  assert.match(image.specs[0] ?? "", / # slim [0-9a-f]{16} # estargz$/);
});

test("a plan counts the layers that are stored beside the others", async () => {
  const [lazy, usual] = [await planOf(options(whole)), await planOf(options(whole, { image: {} }))];
  assert.equal(usual.totals.sendBytes, 0);
  assert.equal(
    lazy.totals.sendBytes,
    plain.sizes.reduce((sum, size) => sum + size, 0),
  );
  assert.equal(lazy.totals.isEstimate, true);
});

test("zstd, and a base with Docker's media types, are refused before anything is packed", async () => {
  const folder = temporaryFolder();
  makeBase(folder, { tag: "base", docker: true });
  const source = { name: "base:1", target: await LayoutTarget.open(folder, { clock }), reference: "base" };
  for (const more of [{ compression: parseCompression("zstd") }, { base: source }]) {
    const target = await layoutForTests();
    const error = await failsWith("UNSUPPORTED", push(options(target, more)), /^eStargz layers /);
    assert.match(error.hint ?? "", /or leave out `estargz`$/);
    for await (const tag of target.tags()) assert.fail(tag);
  }
});
