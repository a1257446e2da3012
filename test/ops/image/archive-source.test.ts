// Proves that archives that stave and others wrote are read as the images in them, and that damage is an error.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { copyGraph } from "../../../lib/copy.ts";
import { digestOf, hexOf } from "../../../lib/oci/digest.ts";
import { canonicalBytes, type Manifest } from "../../../lib/oci/manifest.ts";
import {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
} from "../../../lib/oci/mediatype.ts";
import { openArchive } from "../../../lib/ops/image/archive-source.ts";
import { exportImage } from "../../../lib/ops/image/export.ts";
import { parseFetched } from "../../../lib/target/choose-platform.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import { bytesSource } from "../../../lib/util/stream.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { makeBase } from "../../../scripts/make-base.ts";
import { failsWith } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/tree.ts";

const folder = temporaryFolder();
const platform = { os: "linux", architecture: "amd64" };
const file = (name: string): string => join(folder, name);

/** A layout with one image, as an archive. */
async function exported(
  format: "docker-archive" | "oci-archive",
  dockerMediaTypes?: boolean,
): Promise<{ path: string; digest: string }> {
  const layout = join(temporaryFolder(), "layout");
  const { digest } = makeBase(layout, { tag: "b", architecture: "amd64" });
  const target = await LayoutTarget.open(layout, { clock: systemClock, create: false });
  const parts: Uint8Array[] = [];
  const archive = await exportImage(target, "b", { format, name: "ghcr.io/org/app:1.2", platform, dockerMediaTypes });
  for await (const chunk of archive.chunks()) parts.push(chunk);
  await target.close();
  const bytes = Buffer.concat(parts);
  assert.equal(bytes.length, archive.report.size);
  const path = file(`${format}.tar`);
  writeFileSync(path, bytes);
  assert.equal(archive.report.digest === digest, dockerMediaTypes !== true);
  return { path, digest };
}

/** An archive with these files, made by tar. */
function tarOf(name: string, files: Record<string, Uint8Array | string>): string {
  const root = join(temporaryFolder(), "root");
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), bytes);
  }
  const made = spawnSync("tar", ["-C", root, "-cf", file(name), "."]);
  assert.equal(made.status, 0, String(made.stderr));
  return file(name);
}

for (const format of ["docker-archive", "oci-archive"] as const)
  test(`what was exported as ${format} comes out under its digest`, async () => {
    const { path, digest } = await exported(format);
    await using source = await openArchive(path, "the archive");
    assert.deepEqual(await Array.fromAsync(source.tags()), ["1.2"]);
    const target = await LayoutTarget.open(join(temporaryFolder(), "copy"), { clock: systemClock, create: true });
    const { root } = await copyGraph(source, target, "1.2", { tag: "x" });
    assert.equal(root.digest, digest);
    await target.close();
  });

for (const format of ["docker-archive", "oci-archive"] as const)
  test(`${format} with Docker's media types: the same config and layers under a manifest of Docker's`, async () => {
    const read = async (path: string): Promise<Manifest> => {
      await using source = await openArchive(path, "the archive");
      const document = parseFetched(await source.fetchManifest("1.2"), "it");
      assert.ok(document.kind === "manifest");
      for (const blob of [document.value.config, ...document.value.layers]) (await source.fetchBlob(blob)).resume();
      return document.value;
    };
    const plain = await read((await exported(format)).path);
    const docker = await read((await exported(format, true)).path);
    assert.equal(docker.mediaType, DOCKER_MANIFEST);
    assert.equal(docker.config.mediaType, DOCKER_CONFIG);
    assert.equal(docker.config.digest, plain.config.digest);
    assert.ok(plain.layers.length > 0);
    assert.deepEqual(
      docker.layers,
      plain.layers.map(({ digest, size }) => ({ mediaType: DOCKER_LAYER_GZIP, size, digest })),
    );
    assert.equal(docker.annotations, undefined);
  });

test("a layer that Docker has no type for is refused", async () => {
  const target = await LayoutTarget.open(join(temporaryFolder(), "zstd"), { clock: systemClock, create: true });
  const layer = Buffer.from("x");
  const blob = { mediaType: OCI_LAYER_ZSTD, digest: digestOf(layer), size: layer.length };
  await target.pushBlob(blob, bytesSource(layer));
  const document = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } };
  const bytes = canonicalBytes(document);
  const config = { mediaType: OCI_CONFIG, digest: digestOf(bytes), size: bytes.length };
  await target.pushBlob(config, bytesSource(bytes));
  const manifest = canonicalBytes({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [blob] });
  await target.pushManifest(manifest, OCI_MANIFEST, { tag: "z" });
  const options = { format: "oci-archive", name: "x/y:z", platform } as const;
  assert.equal((await exportImage(target, "z", options)).report.layers, 1);
  const error = await failsWith("UNSUPPORTED", exportImage(target, "z", { ...options, dockerMediaTypes: true }));
  assert.match(error.message, /has a layer of type .*zstd, which Docker has not$/);
  await target.close();
});

test("every folder of an exported archive has an entry, before what is in it", async () => {
  const { path } = await exported("oci-archive");
  const names = execFileSync("tar", ["tf", path], { encoding: "utf8" }).trim().split("\n");
  const seen = new Set<string>();
  for (const name of names) {
    const above = name.replace(/\/$/, "").split("/").slice(0, -1).join("/");
    assert.ok(above === "" || seen.has(`${above}/`), `${name} before its folder`);
    assert.ok(!seen.has(name), `${name} comes twice`);
    seen.add(name);
  }
  assert.ok(seen.has("blobs/sha256/") && seen.has("index.json"));
});

const tar = Buffer.alloc(10240);
const other = gzipSync(Buffer.concat([tar, tar]));
const config = canonicalBytes({
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [digestOf(tar), digestOf(Buffer.concat([tar, tar]))] },
});
const saved = (Layers: string[]): Uint8Array => canonicalBytes([{ Config: "c.json", RepoTags: ["h:5/x/y:t"], Layers }]);
const FILES = { "c.json": config, "1/layer.tar": tar, "2/layer.tar": other };

test("an archive of docker save: its layers are hashed, with and without compression", async () => {
  const path = tarOf("saved.tar", { ...FILES, "manifest.json": saved(["1/layer.tar", "2/layer.tar"]) });
  await using source = await openArchive(path, "the archive");
  const fetched = await source.fetchManifest("t");
  const document = parseFetched(fetched, "x");
  assert.ok(document.kind === "manifest");
  assert.deepEqual(
    document.value.layers.map(({ digest }) => digest),
    [digestOf(tar), digestOf(other)],
  );
  const target = await LayoutTarget.open(join(temporaryFolder(), "copy"), { clock: systemClock, create: true });
  await copyGraph(source, target, "t", { tag: "x" });
  await target.close();
  await failsWith("NOT_FOUND", source.fetchManifest("none"), /has no image none/);
});

test("archives that are damaged, compressed, or none at all are refused", async () => {
  const { path, digest } = await exported("oci-archive");
  const cut = file("cut.tar");
  const bytes = readFileSync(path);
  writeFileSync(cut, bytes.subarray(0, bytes.length / 2));
  await failsWith("CONTENT_INVALID", openArchive(cut, "cut"), /ends in the middle|has no file/);
  writeFileSync(file("x.tar.gz"), gzipSync(bytes));
  await failsWith("UNSUPPORTED", openArchive(file("x.tar.gz"), "it"), /is compressed/);
  await failsWith("NOT_FOUND", openArchive(file("none.tar"), "none"), /none.tar/);
  await failsWith("CONTENT_INVALID", openArchive(tarOf("empty.tar", { a: "b" }), "it"), /no archive of images/);
  const wrong = tarOf("wrong.tar", {
    ...FILES,
    "1/layer.tar": Buffer.alloc(10240, 0),
    "c.json": Buffer.from(
      Buffer.from(config)
        .toString()
        .replace(hexOf(digestOf(tar)), "0".repeat(64)),
    ),
    "manifest.json": saved(["1/layer.tar", "2/layer.tar"]),
  });
  await failsWith("DIGEST_MISMATCH", openArchive(wrong, "it"), /1\/layer.tar of it has digest/);
  const lacking = tarOf("lacking.tar", { ...FILES, "manifest.json": saved(["1/layer.tar", "3/layer.tar"]) });
  await failsWith("CONTENT_INVALID", openArchive(lacking, "it"), /has no file 3\/layer.tar/);
  // A blob that was changed in place.
  const changed = Buffer.from(bytes);
  const at = changed.indexOf(Buffer.from("1f8b", "hex"));
  changed[at + 20] = (changed[at + 20] ?? 0) ^ 1;
  writeFileSync(file("changed.tar"), changed);
  await using source = await openArchive(file("changed.tar"), "it");
  const target = await LayoutTarget.open(join(temporaryFolder(), "copy"), { clock: systemClock, create: true });
  await failsWith("DIGEST_MISMATCH", copyGraph(source, target, digest, { tag: "x" }), /./);
  await target.close();
});
