// Proves that the graph copy moves each item once, children first, with mounts, platforms, referrers and signatures.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { copyGraph } from "../lib/copy.ts";
import { isStaveError } from "../lib/errors.ts";
import type { Descriptor } from "../lib/oci/descriptor.ts";
import { hexOf } from "../lib/oci/digest.ts";
import { canonicalBytes, emptyIndex } from "../lib/oci/manifest.ts";
import { DOCKER_FOREIGN_LAYER, OCI_INDEX } from "../lib/oci/mediatype.ts";
import { copyImages } from "../lib/ops/image/copy.ts";
import { LayoutTarget } from "../lib/target/layout/layout.ts";
import type { ProgressEvent } from "../lib/util/progress.ts";
import { bytesSource, readAll } from "../lib/util/stream.ts";
import { systemClock } from "../lib/util/time.ts";
import { connect } from "./support/client.ts";
import { blobOf, imageOf, indexOf, pushImage, someBytes } from "./support/content.ts";
import { failsWith } from "./support/errors.ts";
import { startRegistry } from "./support/registry.ts";

const root = mkdtempSync(join(tmpdir(), "stave-copy-"));
const closing: (() => Promise<unknown> | unknown)[] = [() => rmSync(root, { recursive: true })];
after(async () => {
  for (const close of closing.reverse()) await close();
});
let counter = 0;
const layout = (create = true) => LayoutTarget.open(join(root, String(counter++)), { clock: systemClock, create });

async function registry(...args: Parameters<typeof startRegistry>) {
  const started = await startRegistry(...args);
  closing.push(() => started.close());
  return started;
}

function client(...args: Parameters<typeof connect>) {
  const made = connect(...args);
  closing.push(() => made.close());
  return made.target;
}

test("directory to registry to directory gives the same bytes; the tag comes last", async () => {
  const [from, to, started] = [await layout(), await layout(), await registry()];
  const image = imageOf("x", [100, 200_000, 3_000_000]);
  await pushImage(from, image, "v1");
  const report = await copyGraph(from, client(started.host, "a"), "v1", { tag: "v2" });
  assert.deepEqual(
    [report.manifests, report.blobs],
    [
      { copied: 1, skipped: 0 },
      { copied: 4, mounted: 0, skipped: 0 },
    ],
  );
  const puts = started.requests.filter((one) => one.method === "PUT").map((one) => one.url);
  assert.match(puts.at(-1) ?? "", /manifests\/v2$/);
  await copyGraph(client(started.host, "a"), to, "v2", { tag: "v3" });
  for (const { descriptor, bytes } of image.blobs)
    assert.ok((await readAll(await to.fetchBlob(descriptor), 1e8, "b")).equals(Buffer.from(bytes)));
  assert.equal((await to.headManifest("v3"))?.digest, image.descriptor.digest);
});

test("a second copy costs two requests and sends nothing", async () => {
  const [from, started] = [await layout(), await registry()];
  await pushImage(from, imageOf("x"), "v1");
  const to = client(started.host, "a");
  await copyGraph(from, to, "v1", { tag: "v1" });
  started.requests.length = 0;
  const report = await copyGraph(from, to, "v1", { tag: "v1" });
  assert.deepEqual(
    started.requests.map((one) => one.method),
    ["HEAD"],
  );
  assert.equal(report.bytes, 0);
});

test("within a registry, blobs are mounted", async () => {
  const started = await registry();
  const from = client(started.host, "a");
  await pushImage(from, imageOf("x"), "v1");
  const report = await copyGraph(from, client(started.host, "b"), "v1", { tag: "v1" });
  assert.deepEqual(report.blobs, { copied: 0, mounted: 3, skipped: 0 });
});

test("an index: all of it, or one platform of it; what several share moves once", async () => {
  const from = await layout();
  const images = ["amd64", "arm64"].map((architecture) => ({
    architecture,
    image: imageOf("same", [5000], {}, architecture),
  }));
  for (const { image } of images) await pushImage(from, image);
  const index = indexOf(images);
  await from.pushManifest(index.bytes, OCI_INDEX, { tag: "multi" });
  const all = await layout();
  const report = await copyGraph(from, all, "multi", { tag: "multi" });
  assert.deepEqual([report.manifests.copied, report.blobs.copied], [3, 3]);
  assert.equal(report.root.digest, index.descriptor.digest);
  const listed = JSON.parse(readFileSync(join(all.index.directory, "index.json"), "utf8")).manifests;
  assert.equal(listed.length, 1, "children of an index are not listed beside it");
  const one = await layout();
  const arm = await copyGraph(from, one, "multi", { tag: "arm", platform: { os: "linux", architecture: "arm64" } });
  assert.equal(arm.root.digest, images[1]?.image.descriptor.digest);
  const error = await failsWith(
    "PLATFORM_MISMATCH",
    copyGraph(from, one, "multi", { platform: { os: "linux", architecture: "s390x" } }),
  );
  assert.match(error.message, /linux\/amd64, linux\/arm64/);
});

test("referrers come along when asked for, and referrers of referrers", async () => {
  const [from, started] = [await layout(), await registry()];
  const subject = await pushImage(from, imageOf("x"), "v1");
  const signature = await pushImage(from, imageOf("sig", [10], { subject, artifactType: "sig" }));
  await pushImage(from, imageOf("sigsig", [11], { subject: signature, artifactType: "sig" }));
  const to = client(started.host, "a");
  await copyGraph(from, to, "v1", { tag: "v1" });
  assert.deepEqual(await to.referrers(subject.digest), []);
  await copyGraph(from, to, "v1", { tag: "v1", referrers: true });
  assert.deepEqual(
    (await to.referrers(subject.digest)).map((entry) => entry.digest),
    [signature.digest],
  );
  assert.equal((await to.referrers(signature.digest)).length, 1);
});

/** The tag in cosign's scheme of a signature, attestation or SBOM. */
const tagOf = (subject: Descriptor, kind: string): string => `sha256-${hexOf(subject.digest)}.${kind}`;

for (const direction of ["to a registry", "to a directory", "where the image is already"] as const)
  test(`signatures that name their subject in their tag come along ${direction}`, async () => {
    const started = await registry();
    const ends = [await layout(), client(started.host, "a")] as const;
    const [from, to] = direction === "to a directory" ? [ends[1], ends[0]] : ends;
    const images = ["amd64", "arm64"].map((architecture) => ({
      image: imageOf(architecture, [100], {}, architecture),
      architecture,
    }));
    for (const { image } of images) await pushImage(from, image);
    const index = indexOf(images);
    await from.pushManifest(index.bytes, OCI_INDEX, { tag: "v1" });
    const [child] = images;
    assert.ok(child);
    const tags = ["sig", "att", "sbom"].map((kind) => tagOf(index.descriptor, kind));
    for (const tag of tags) await pushImage(from, imageOf(tag, [10]), tag);
    tags.push(tagOf(child.image.descriptor, "sig"));
    const ofChild = await pushImage(from, imageOf("child", [10]), tags.at(-1));
    // A signature of a signature, and one of a referrer of the image.
    tags.push(tagOf(ofChild, "sig"));
    await pushImage(from, imageOf("of a signature", [10]), tags.at(-1));
    const referrer = await pushImage(
      from,
      imageOf("referrer", [10], { subject: child.image.descriptor, artifactType: "sbom" }),
    );
    tags.push(tagOf(referrer, "sig"));
    await pushImage(from, imageOf("of a referrer", [10]), tags.at(-1));
    await pushImage(from, imageOf("unrelated", [10]), tagOf(blobOf(someBytes(3)).descriptor, "sig"));
    if (direction === "where the image is already") await copyGraph(from, to, "v1", { tag: "v1" });
    await copyGraph(from, to, "v1", { tag: "v1", referrers: true });
    assert.deepEqual((await Array.fromAsync(to.tags())).sort(), ["v1", ...tags].sort());
    for (const tag of tags)
      assert.equal((await to.headManifest(tag))?.digest, (await from.headManifest(tag))?.digest, tag);
    assert.deepEqual(
      (await to.referrers(child.image.descriptor.digest)).map(({ digest }) => digest),
      [referrer.digest],
    );
  });

test("signature tags that lead back to where they started, or on for ever, end", async () => {
  const [from, to] = [await layout(), await layout()];
  const image = imageOf("x", [10]);
  const subject = await pushImage(from, image, "v1");
  await pushImage(from, image, tagOf(subject, "sig"));
  const other = await pushImage(from, imageOf("y", [10]), tagOf(subject, "att"));
  await pushImage(from, image, tagOf(other, "sig"));
  await copyGraph(from, to, "v1", { tag: "v1", referrers: true });
  assert.equal((await to.headManifest(tagOf(other, "sig")))?.digest, subject.digest);
  let last = other;
  for (let depth = 0; depth < 12; depth++)
    last = await pushImage(from, imageOf(`deep ${depth}`, [10]), tagOf(last, depth === 0 ? "sbom" : "sig"));
  await failsWith(
    "CONTENT_INVALID",
    copyGraph(from, to, "v1", { tag: "v1", referrers: true }),
    /nested more than 8 deep/,
  );
});

test("a list of referrers that claims what is not so leads nowhere", async () => {
  const started = await registry();
  const from = client(started.host, "a");
  const image = await pushImage(from, imageOf("x"), "v1");
  const list = canonicalBytes({ ...emptyIndex(), manifests: [image] });
  started.rules.push({
    path: /\/referrers\//,
    fault: { status: 200, headers: { "content-type": OCI_INDEX }, body: Buffer.from(list).toString() },
  });
  const events: ProgressEvent[] = [];
  await copyGraph(from, await layout(), "v1", { tag: "v1", referrers: true, progress: (event) => events.push(event) });
  assert.ok(events.some((event) => event.type === "warning" && /does not name it/.test(event.text)));
});

test("foreign layers are left where they are, unless the source has them", async () => {
  const from = await layout();
  const foreign = {
    mediaType: DOCKER_FOREIGN_LAYER,
    digest: blobOf(someBytes(50, "f")).descriptor.digest,
    size: 50,
    urls: ["https://example.org/x"],
  };
  const { blobs, bytes } = imageOf("x", [10]);
  const manifest = { ...JSON.parse(Buffer.from(bytes).toString()), layers: [foreign] };
  for (const blob of blobs) await from.pushBlob(blob.descriptor, bytesSource(blob.bytes));
  await from.pushManifest(canonicalBytes(manifest), manifest.mediaType, { tag: "v1" });
  const started = await registry();
  const report = await copyGraph(from, client(started.host, "a"), "v1", { tag: "v1" });
  assert.deepEqual(report.blobs, { copied: 1, mounted: 0, skipped: 1 });
});

test("the side that failed is named, and nothing half is left under the tag", async () => {
  const from = await layout();
  const image = imageOf("x", [1000, 2000]);
  await pushImage(from, image, "v1");
  const broken = image.blobs[2];
  assert.ok(broken);
  const path = join(from.index.directory, "blobs/sha256", hexOf(broken.descriptor.digest));
  writeFileSync(path, someBytes(2000, "other"));
  const started = await registry();
  const to = client(started.host, "a");
  const error = await failsWith("DIGEST_MISMATCH", copyGraph(from, to, "v1", { tag: "v1" }));
  assert.equal(error.side, "source");
  assert.equal(await to.headManifest("v1"), undefined);
  const other = await layout();
  await failsWith("DIGEST_MISMATCH", copyGraph(from, other, "v1", { tag: "v1" }));
  assert.ok(!readdirSync(join(other.index.directory, "blobs/sha256")).includes(hexOf(broken.descriptor.digest)));
  rmSync(path);
  assert.equal((await failsWith("NOT_FOUND", copyGraph(from, to, "v1", { tag: "v1" }))).side, "source");
  started.rules.push({ method: "PUT", path: /manifests/, fault: { status: 403 } });
  await pushImage(from, image, "v1");
  assert.equal((await failsWith("DENIED", copyGraph(from, to, "v1", { tag: "v1" }))).side, "destination");
});

test("a copy into a directory repairs what is missing there", async () => {
  const [from, to] = [await layout(), await layout()];
  const image = imageOf("x", [1000, 2000]);
  await pushImage(from, image, "v1");
  await copyGraph(from, to, "v1", { tag: "v1" });
  const lost = image.blobs[1];
  assert.ok(lost);
  rmSync(join(to.index.directory, "blobs/sha256", hexOf(lost.descriptor.digest)));
  const report = await copyGraph(from, to, "v1", { tag: "v1" });
  assert.deepEqual(report.blobs, { copied: 1, mounted: 0, skipped: 2 });
});

test("every tag, and those that fail do not stop the others", async () => {
  const started = await registry();
  const from = client(started.host, "a");
  for (const at of [1, 2, 3]) await pushImage(from, imageOf(at, [100]), `v${at}`);
  const to = await layout();
  const report = await copyImages(from, to, { reference: undefined, tag: undefined });
  assert.deepEqual(
    report.images.map((image) => image.tag),
    ["v1", "v2", "v3"],
  );
  // Images are copied concurrently: the index lists them in order of arrival.
  assert.deepEqual((await Array.fromAsync(to.tags())).toSorted(), ["v1", "v2", "v3"]);
  started.rules.push({ path: /manifests\/v2$/, fault: { status: 403 } });
  const other = await layout();
  const error = await copyImages(from, other, { reference: undefined, tag: undefined }).then(
    () => assert.fail("it succeeded"),
    (caught: unknown) => caught,
  );
  assert.ok(isStaveError(error, "DENIED"));
  assert.deepEqual((await Array.fromAsync(other.tags())).sort(), ["v1", "v3"]);
});

test("an abort stops the copy, and the next one goes on", async () => {
  const from = await layout();
  await pushImage(from, imageOf("x", [100_000, 2_000_000, 3_000_000]), "v1");
  const started = await registry({ rules: [{ method: "PUT", path: /uploads/, after: 2, times: 1, fault: "hang" }] });
  const to = client(started.host, "a");
  const abort = new AbortController();
  const running = copyGraph(from, to, "v1", { tag: "v1", signal: abort.signal });
  setTimeout(() => abort.abort(new Error("enough")), 300);
  await assert.rejects(running, /enough/);
  const report = await copyGraph(from, to, "v1", { tag: "v1" });
  assert.ok(report.blobs.skipped >= 1);
});
