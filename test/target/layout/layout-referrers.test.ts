// Proves that the referrers in a layout are found whoever wrote them, with little reading, and that nothing is believed
// that the manifests themselves do not say.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Descriptor } from "../../../lib/oci/descriptor.ts";
import { type Digest, digestOf, hexOf } from "../../../lib/oci/digest.ts";
import { OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { imageOf, pushImage } from "../../support/content.ts";
import { temporaryFolder } from "../../support/tree.ts";

const open = (directory: string): Promise<LayoutTarget> =>
  LayoutTarget.open(directory, { clock: systemClock, create: true });
const fileOf = (directory: string, digest: Digest): string => join(directory, "blobs/sha256", hexOf(digest));
const digests = async (target: LayoutTarget, subject: Digest): Promise<Digest[]> =>
  (await target.referrers(subject)).map(({ digest }) => digest);

/** Changes the entries of index.json, as another program would. */
function edit(directory: string, change: (entries: Descriptor[]) => Descriptor[]): void {
  const path = join(directory, "index.json");
  const index = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...index, manifests: change(index.manifests) }));
}

/** The entry as a program leaves it that does not know the subject. */
const bare = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

async function signed(target: LayoutTarget, seed: string): Promise<{ image: Descriptor; referrer: Descriptor }> {
  const image = await pushImage(target, imageOf(seed), seed);
  const referrer = imageOf(`signature of ${seed}`, [10], { subject: image, artifactType: "a/b" });
  await pushImage(target, referrer);
  return { image, referrer: referrer.descriptor };
}

for (const [writer, change] of [
  ["stave", (entries: Descriptor[]) => entries],
  ["others", (entries: Descriptor[]) => entries.map((entry) => (entry.artifactType ? bare(entry) : entry))],
] as const)
  test(`a layout that ${writer} wrote: the referrers of one image take no manifest of another`, async () => {
    const directory = temporaryFolder();
    const writing = await open(directory);
    const all = [];
    for (let at = 0; at < 20; at++) all.push(await signed(writing, `image-${at}`));
    await writing.close();
    edit(directory, change);
    const target = await open(directory);
    const fetched: string[] = [];
    const fetch = target.fetchManifest.bind(target);
    target.fetchManifest = (reference, options) => {
      fetched.push(reference);
      return fetch(reference, options);
    };
    for (const { image, referrer } of all.slice(0, 3)) {
      const found = await target.referrers(image.digest);
      assert.deepEqual(
        found.map(({ digest, artifactType }) => [digest, artifactType]),
        [[referrer.digest, "a/b"]],
      );
      await target.referrers(image.digest);
    }
    assert.deepEqual(
      fetched,
      all.slice(0, 3).map(({ referrer }) => referrer.digest),
    );
    await target.close();
  });

test("a subject whose key is written with escapes is found", async () => {
  const directory = temporaryFolder();
  const target = await open(directory);
  const { image } = await signed(target, "image");
  const text = JSON.stringify({
    ...{ schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: "c/d", layers: [], config: image, subject: image },
  }).replace('"subject"', '"\\u0073ubj\\u0065ct"');
  const descriptor = { mediaType: OCI_MANIFEST, digest: digestOf(text), size: Buffer.byteLength(text) };
  await target.close();
  writeFileSync(fileOf(directory, descriptor.digest), text);
  edit(directory, (entries) => [...entries, descriptor]);
  const again = await open(directory);
  const types = (await again.referrers(image.digest)).map(({ artifactType }) => artifactType);
  assert.deepEqual(types.sort(), ["a/b", "c/d"]);
  await again.close();
});

test("a false subject in index.json lists nothing under it", async () => {
  const directory = temporaryFolder();
  const target = await open(directory);
  const [one, two] = [await signed(target, "one"), await signed(target, "two")];
  await target.close();
  const wrong = { "dev.stave.subject": two.image.digest };
  edit(directory, (entries) =>
    entries.map((entry) => (entry.digest === one.referrer.digest ? { ...entry, annotations: wrong } : entry)),
  );
  const again = await open(directory);
  assert.deepEqual(await digests(again, two.image.digest), [two.referrer.digest]);
  await again.close();
});

test("a manifest that is damaged or gone is no referrer, and is one again once it is back", async () => {
  const directory = temporaryFolder();
  const writing = await open(directory);
  const { image, referrer } = await signed(writing, "image");
  await writing.close();
  const path = fileOf(directory, referrer.digest);
  const bytes = readFileSync(path);
  for (const isKnown of [true, false]) {
    if (!isKnown) edit(directory, (entries) => entries.map((entry) => (entry.artifactType ? bare(entry) : entry)));
    const target = await open(directory);
    rmSync(path);
    assert.deepEqual(await digests(target, image.digest), []);
    writeFileSync(path, bytes.subarray(0, 100));
    assert.deepEqual(await digests(target, image.digest), []);
    writeFileSync(path, bytes);
    assert.deepEqual(await digests(target, image.digest), [referrer.digest]);
    await target.deleteManifest(referrer.digest);
    assert.deepEqual(await digests(target, image.digest), []);
    await target.pushManifest(bytes, OCI_MANIFEST);
    assert.deepEqual(await digests(target, image.digest), [referrer.digest]);
    await target.close();
  }
});

test("a referrer that another process adds is found", async () => {
  const directory = temporaryFolder();
  const [reading, writing] = [await open(directory), await open(directory)];
  const { image, referrer } = await signed(writing, "image");
  assert.deepEqual(await digests(reading, image.digest), [referrer.digest]);
  const more = imageOf("more", [10], { subject: image, artifactType: "e/f" });
  await pushImage(writing, more);
  assert.deepEqual(await digests(reading, image.digest), [referrer.digest, more.descriptor.digest].sort());
  await Promise.all([reading.close(), writing.close()]);
});
