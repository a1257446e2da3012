// Proves that a rebased image has the layers of its specs, what it set itself, and everything else of its new base.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readBaseImage } from "../../../lib/image/base-image-reader.ts";
import { rebaseVariables } from "../../../lib/image/rebase-image.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { canonicalBytes, configSchema, parseBySchema } from "../../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import type { BaseSource } from "../../../lib/ops/push/base-image.ts";
import { push } from "../../../lib/ops/push/push.ts";
import { imagesOnBase, rebase } from "../../../lib/ops/push/rebase.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import { fetchConfig } from "../../../lib/target/image-config.ts";
import type { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { Target } from "../../../lib/target/target.ts";
import { bytesSource } from "../../../lib/util/stream.ts";
import { layoutForTests } from "../../support/caches.ts";
import { connect } from "../../support/client.ts";
import { imageOf, indexOf, pushImage } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { glibc, pushTree } from "../../support/made-base.ts";
import { goldenStore, pushOptions } from "../../support/push.ts";
import { startRegistry } from "../../support/registry.ts";

const { store } = await goldenStore();
const registry = await startRegistry();
const client = connect(registry.host, "org/base");
const bases = client.target;
const SETTINGS = {
  Env: ["PATH=/usr/bin:/bin", "OLD=1", "LANG=C"],
  Labels: { of: "one", both: "one" },
  User: "me",
  Cmd: ["a"],
};
before(async () => {
  await pushTree(bases, "one", glibc(36), 0, SETTINGS);
  await pushTree(bases, "two", [...glibc(36), { type: "file", path: "etc/two", content: "2" }], 0, {
    Env: ["PATH=/usr/local/bin:/usr/bin", "NEW=1", "LANG=de"],
    Labels: { both: "two" },
    Cmd: ["b"],
    WorkingDir: "/work",
  });
  await pushTree(bases, "old", glibc(31));
});
after(async () => {
  await client.close();
  await registry.close();
});

const base = (tag: string): BaseSource => ({ name: `${registry.host}/org/base:${tag}`, target: bases, reference: tag });

/** An environment's image over a base, and what is in it. */
async function pushed(over: string | undefined): Promise<LayoutTarget> {
  const target = await layoutForTests();
  const more = over === undefined ? {} : { base: base(over) };
  const report = await push(pushOptions(store, target, { tags: ["app"], ...more }));
  assert.deepEqual(report.failures, []);
  return target;
}
async function contentOf(target: Target, tag: string) {
  const fetched = await target.fetchManifest(tag);
  const document = parseFetched(fetched, target.name);
  if (document.kind === "index") throw new Error("an index");
  const config = parseBySchema(await fetchConfig(target, document.value.config), configSchema, "the config");
  return { config, layers: document.value.layers.map(({ digest }) => digest), manifest: document.value, fetched };
}

test("the layers of specs stay, and everything of the old base is exchanged", async () => {
  const target = await pushed("one");
  const was = await contentOf(target, "app");
  const report = await rebase(target, "app", { onto: base("two"), tag: "app" });
  const now = await contentOf(target, "app");
  assert.deepEqual(
    [report.isWritten, report.layers, report.to],
    [true, was.layers.length - 1, now.fetched.descriptor.digest],
  );
  const two = await contentOf(bases, "two");
  assert.deepEqual(now.layers, [...two.layers, ...was.layers.slice(1)]);
  assert.deepEqual(now.config.rootfs.diff_ids.slice(1), was.config.rootfs.diff_ids.slice(1));
  const settings = now.config.config ?? {};
  const [before] = (was.config.config?.Env ?? []).filter((text) => text.startsWith("PATH="));
  assert.ok(before?.endsWith(":/usr/bin:/bin"));
  const env = settings.Env ?? [];
  assert.ok(env.includes(`${before?.slice(0, -":/usr/bin:/bin".length)}:/usr/local/bin:/usr/bin`), env.join("\n"));
  assert.deepEqual(env.filter((text) => /^(?:OLD|NEW|LANG)=/.test(text)).sort(), ["LANG=de", "NEW=1"]);
  const recorded = {
    "org.opencontainers.image.base.digest": two.fetched.descriptor.digest,
    "org.opencontainers.image.base.name": `${registry.host}/org/base:two`,
  };
  assert.deepEqual(settings.Labels, { both: "two", ...recorded });
  assert.deepEqual(now.manifest.annotations, recorded);
  assert.deepEqual([settings.Cmd, settings.WorkingDir, settings.User], [["b"], "/work", undefined]);
  const entries = (now.config.history ?? []).filter(({ empty_layer }) => !empty_layer);
  assert.equal(entries.length, now.layers.length);
  assert.match(entries.at(-1)?.created_by ?? "", /^spack install fleet@/);
  for (const layer of now.manifest.layers)
    assert.ok(await target.hasBlob(layer), "the layers of the base were brought");

  const again = await rebase(target, "app", { onto: base("two"), tag: "app" });
  assert.deepEqual([again.isWritten, again.to], [false, report.to]);
  const back = await rebase(target, "app", { onto: base("one"), tag: "back", checkRun: false });
  assert.equal(back.isWritten, true);
  const restored = await contentOf(target, "back");
  const plain = ({ config, ...rest }: typeof was.config) => ({
    ...rest,
    config: { ...config, Env: config?.Env?.toSorted() },
  });
  assert.deepEqual(restored.layers, was.layers);
  assert.deepEqual(plain(restored.config), plain(was.config), "and back again gives what was pushed");
});

test("an image that would not start on the new base keeps its tag", async () => {
  const target = await pushed("one");
  const was = await target.headManifest("app");
  await failsWith("LIBC_TOO_OLD", rebase(target, "app", { onto: base("old"), tag: "app" }), /needs glibc 2.34/);
  assert.equal((await target.headManifest("app"))?.digest, was?.digest);
  const report = await rebase(target, "app", { onto: base("old"), tag: "app", checkRun: false });
  assert.equal(report.isWritten, true);
});

test("an image without a base gets one", async () => {
  const target = await pushed(undefined);
  const report = await rebase(target, "app", { onto: base("two"), tag: "app" });
  assert.deepEqual([report.oldBase, report.isWritten], [undefined, true]);
  const { config } = await contentOf(target, "app");
  const path = (config.config?.Env ?? []).find((text) => text.startsWith("PATH="));
  assert.match(path ?? "", /\/bin:\/usr\/local\/bin:\/usr\/bin$/);
});

test("a base that is not recorded, or is elsewhere, must be named, and be the right one", async () => {
  const target = await pushed("one");
  const others = await layoutForTests();
  await pushTree(others, "x", glibc(36), 5);
  const elsewhere = { name: "oci-layout:x:x", target: others, reference: "x" };
  await failsWith(
    "USAGE",
    rebase(target, "app", { onto: elsewhere, tag: "app" }),
    /cannot be read where the new one is/,
  );
  const from = elsewhere;
  await failsWith("CONTENT_INVALID", rebase(target, "app", { onto: base("two"), from, tag: "app" }), /old base/);
  const report = await rebase(target, "app", { onto: elsewhere, from: base("one"), tag: "app" });
  assert.equal(report.isWritten, true);
  const { config } = await contentOf(target, "app");
  assert.equal(config.config?.Labels?.["org.opencontainers.image.base.name"], undefined, "a directory is no name");
  const index = indexOf([{ image: imageOf("i"), architecture: "amd64" }]);
  await pushImage(target, imageOf("i"));
  await target.pushManifest(index.bytes, index.descriptor.mediaType, { tag: "index" });
  await failsWith("USAGE", rebase(target, "index", { onto: base("two"), tag: "index" }), /is an index/);
});

test("a dry run writes nothing", async () => {
  const target = await pushed("one");
  const was = await target.headManifest("app");
  const report = await rebase(target, "app", { onto: base("two"), tag: "app", dryRun: true });
  assert.deepEqual([report.isWritten, (await target.headManifest("app"))?.digest], [false, was?.digest]);
});

test("the images that stand on an older image of a base are listed", async () => {
  const target = await pushed("one");
  await rebase(target, "app", { onto: base("two"), tag: "other" });
  // What is no image is passed over.
  const broken = Buffer.from("{no json");
  const descriptor = { mediaType: OCI_CONFIG, digest: digestOf(broken), size: broken.length };
  await target.pushBlob(descriptor, bytesSource(broken));
  const document = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor, layers: [] };
  await target.pushManifest(canonicalBytes(document), OCI_MANIFEST, { tag: "broken" });
  const full = (tag: string) => ({ ...base(tag), fullName: `${registry.host}/org/base:${tag}` });
  const [only, ...more] = await imagesOnBase(target, full("one"));
  assert.deepEqual([only?.tag, only?.isOutdated, more], ["app", false, []]);
  const was = await bases.fetchManifest("one");
  await pushTree(bases, "one", glibc(36), 77, SETTINGS);
  const [outdated] = await imagesOnBase(target, full("one"));
  assert.deepEqual([outdated?.tag, outdated?.isOutdated, outdated?.baseDigest], ["app", true, was.descriptor.digest]);
  const report = await rebase(target, "app", { onto: base("one"), tag: "app" });
  assert.equal(report.oldBase, was.descriptor.digest, "the old base is found by its digest");
  assert.deepEqual(
    (await imagesOnBase(target, full("one"))).map(({ isOutdated }) => isOutdated),
    [false],
  );
});

const VARIABLES: { name: string; image: string[]; old?: string[]; onto: string[]; expect: string[] }[] = [
  { name: "an own variable stays", image: ["A=1"], old: [], onto: ["A=2"], expect: ["A=1"] },
  {
    name: "folders in front of and behind the base's stay",
    image: ["PATH=/a:/old:/z", "L=/x:/old"],
    old: ["PATH=/old", "L=/old"],
    onto: ["PATH=/new"],
    expect: ["PATH=/a:/new:/z", "L=/x"],
  },
  {
    name: "a variable of the old base goes, one that was cleared stays so",
    image: ["PATH=/old", "GONE=1"],
    old: ["PATH=/old", "GONE=1", "CLEARED=1"],
    onto: ["PATH=/new", "CLEARED=2"],
    expect: ["PATH=/new"],
  },
  {
    name: "a folder that only begins like the base's is another one",
    image: ["PATH=/older:/x"],
    old: ["PATH=/old"],
    onto: ["PATH=/new"],
    expect: ["PATH=/older:/x"],
  },
];
for (const { name, image, old, onto, expect } of VARIABLES)
  test(`variables: ${name}`, () => assert.deepEqual(rebaseVariables(image, old, onto).sort(), expect.sort()));

test("a base has its digest, and a name only if it is in a registry", async () => {
  const { bytes, descriptor } = await bases.fetchManifest("one");
  const { config } = parseFetched({ bytes, descriptor, obeysConditions: false }, "x").value as never as {
    config: { digest: never; size: number; mediaType: string };
  };
  const text = await fetchConfig(bases, config);
  const read = (name: string) =>
    readBaseImage({ name, manifest: bytes, mediaType: descriptor.mediaType, config: text }, "amd64");
  assert.deepEqual(
    ["debian:12-slim", "ghcr.io/org/base", "oci-layout:x:y", "the base"].map((name) => read(name).reference),
    ["docker.io/library/debian:12-slim", "ghcr.io/org/base:latest", undefined, undefined],
  );
  assert.equal(read("x").digest, digestOf(bytes));
});
