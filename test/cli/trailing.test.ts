// What stands behind the compressed archive of a layer: zeros behind gzip are ignored, everything else is refused at
// once.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync, zstdCompressSync } from "node:zlib";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import type { Descriptor } from "../../lib/oci/descriptor.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { bytesSource, readAll } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { temporaryFolder } from "../support/tree.ts";

const SPEC = "rigging";
// Strings in programs cannot grow, so roots are short.
const roots: string[] = [];
after(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** A cache with the image of one golden spec, whose own layer is compressed again, with more bytes behind it. */
async function cacheWith(method: "gzip" | "zstd", more: Buffer): Promise<string> {
  const source = await LayoutTarget.open(golden("spack-1.2/plain.oci"), { clock: systemClock });
  const tag = (await Array.fromAsync(source.tags())).find((name) => name.startsWith(`${SPEC}-`)) ?? "";
  const manifest = JSON.parse((await source.fetchManifest(tag)).bytes.toString());
  const blob = async (of: Descriptor) => await readAll(await source.fetchBlob(of), 1e7, "blob");
  const directory = join(temporaryFolder(), "cache");
  const target = await LayoutTarget.open(directory, { clock: systemClock, create: true });
  const push = async (bytes: Buffer, mediaType: string): Promise<Descriptor> => {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    await target.pushBlob(descriptor, bytesSource(bytes));
    return descriptor;
  };
  const layers: Descriptor[] = [];
  for (const [at, layer] of manifest.layers.entries()) {
    const bytes = await blob(layer);
    if (at < manifest.layers.length - 1) layers.push(await push(bytes, layer.mediaType));
    else if (method === "gzip") layers.push(await push(Buffer.concat([bytes, more]), OCI_LAYER_GZIP));
    else layers.push(await push(Buffer.concat([zstdCompressSync(gunzipSync(bytes)), more]), OCI_LAYER_ZSTD));
  }
  // Spack's part of the config has the digest of the archive, too.
  const [before, now] = [manifest.layers, layers].map((all) => all.at(-1)?.digest.slice("sha256:".length) ?? "");
  const text = (await blob(manifest.config)).toString().replaceAll(before ?? "", now ?? "");
  const config = await push(Buffer.from(text), manifest.config.mediaType);
  await target.pushManifest(Buffer.from(JSON.stringify({ ...manifest, config, layers })), OCI_MANIFEST, { tag });
  await updateIndex(new OciCache(target));
  await target.close();
  return `oci-layout:${directory}`;
}

const cases: { name: string; method: "gzip" | "zstd"; more: Buffer; isFine: boolean }[] = [
  { name: "nothing", method: "gzip", more: Buffer.alloc(0), isFine: true },
  { name: "nothing", method: "zstd", more: Buffer.alloc(0), isFine: true },
  { name: "a zero byte", method: "gzip", more: Buffer.alloc(1), isFine: true },
  { name: "a megabyte of zeros", method: "gzip", more: Buffer.alloc(1_000_000), isFine: true },
  { name: "a letter", method: "gzip", more: Buffer.from("x"), isFine: false },
  { name: "a letter behind zeros", method: "gzip", more: Buffer.from(`${"\0".repeat(100_000)}x`), isFine: false },
  { name: "half a gzip header", method: "gzip", more: Buffer.of(0x1f, 0x8b, 8), isFine: false },
  { name: "a zero byte", method: "zstd", more: Buffer.alloc(1), isFine: false },
  { name: "a letter", method: "zstd", more: Buffer.from("x"), isFine: false },
  { name: "half a zstd header", method: "zstd", more: Buffer.of(0x28, 0xb5, 0x2f), isFine: false },
];

for (const { name, method, more, isFine } of cases)
  test(`install: ${name} behind a ${method} layer ${isFine ? "is ignored" : "is refused"}`, {
    timeout: 120_000,
  }, async () => {
    const root = mkdtempSync("/tmp/t");
    roots.push(root);
    const cache = await cacheWith(method, more);
    const where = [cache, "--store", root, "--otherarch", "--no-env"];
    const env = { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "" };
    const ran = await stave(["install", ...where, SPEC], { env });
    if (isFine) {
      assert.equal(ran.status, 0, ran.stderr);
      assert.equal((await stave(["verify", "--store", root, "--no-env"], { env })).status, 0);
      return;
    }
    assert.equal(ran.status, 5, ran.stderr);
    const errors = ran.stderr.split("\n").filter((line) => line.startsWith("error:"));
    assert.equal(errors.length, 1, ran.stderr);
    assert.match(errors[0] ?? "", new RegExp(`rigging.*${method}.*\\[CONTENT_INVALID\\]$`));
    const left = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => path.includes("rigging"));
    assert.deepEqual(left, []);
    const json = await stave(["install", ...where, SPEC, "--json"], { env });
    assert.deepEqual([json.status, JSON.parse(json.stdout).error.code], [5, "CONTENT_INVALID"]);
    const why = await stave(["why-miss", ...where.filter((flag) => flag !== "--otherarch"), SPEC, "--json"], { env });
    assert.notEqual(why.status, 13);
    JSON.parse(why.stdout);
  });
