// Proves that layers have the same bytes with any number of threads, within the memory bound, and fail cleanly.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { ArchiveJob } from "../../../lib/image/archive/archive.ts";
import { relocatable } from "../../../lib/image/archive/build-info-writer.ts";
import { parseCompression } from "../../../lib/image/pack/compression.ts";
import { describeLayer, layerSource, type PackedLayer, packLayer } from "../../../lib/image/pack/layer.ts";
import { PackPool } from "../../../lib/image/pack/pack-pool.ts";
import { specTag } from "../../../lib/spack/spec/spec-name.ts";
import { readDatabase } from "../../../lib/spack/store/database.ts";
import { readAll } from "../../../lib/util/stream.ts";
import { makeStore } from "../../../scripts/make-store.ts";
import { decompressed } from "../../support/decompress.ts";
import { failsWith } from "../../support/errors.ts";
import { goldenImages, goldenSpecs, lastDiffId } from "../../support/golden-store.ts";
import { temporaryFolder } from "../../support/tree.ts";

const GZIP = parseCompression("gzip");
const pool = new PackPool(2);
after(() => pool.close());

async function pack(job: ArchiveJob, compression = GZIP, on = pool): Promise<{ bytes: Buffer; layer: PackedLayer }> {
  const stream = packLayer(on, job, compression);
  const bytes = await readAll(stream, 100e6, "layer");
  return { bytes, layer: stream.layer };
}

const unzstd = (bytes: Buffer): Promise<Buffer> => decompressed("zstd", [bytes]);

const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

// An invented store of 9 MB: six prefixes, from small ones to one of several pieces.
const root = temporaryFolder();
const gone = join(root, "gone");
makeStore(root, { bytes: 9e6, files: 500, specs: 6, seed: 3 });
const database = readDatabase({ name: "index.json", bytes: readFileSync(`${root}/.spack-db/index.json`) });
const installed = [...database.records.values()].filter(
  (record) => record.installed && record.node.external === undefined,
);
const jobs = installed.map(
  ({ node }): ArchiveJob => relocatable(node, { root, prefixOf: ({ hash }) => database.records.get(hash)?.path ?? "" }),
);

// A prefix with one file of `size` zeros.
function zeros(size: number): ArchiveJob & { directory: string } {
  const directory = join(temporaryFolder(), "p");
  mkdirSync(directory);
  writeFileSync(join(directory, "zeros"), "");
  truncateSync(join(directory, "zeros"), size);
  const at = { root: "/s", prefix: "/s/p", spackPrefix: "/s", mentioned: ["/s"], legacy: false };
  return { ...at, hashToPrefix: [], directory };
}

const MIB = 1024 * 1024;

for (const generation of ["spack-1.2", "spack-0.23"] as const)
  describe(`layers of the store of ${generation} hold Spack's archives`, async () => {
    const images = goldenImages(`${generation}/plain.oci`);
    for (const { root: spec, job } of (await goldenSpecs(generation)).values())
      test(spec.name, async () => {
        const { bytes, layer } = await pack(job);
        assert.equal(layer.diffId, lastDiffId(images.get(specTag(spec))?.config));
        assert.equal(layer.digest, sha256(bytes));
        assert.equal(layer.size, bytes.length);
        assert.equal(sha256(gunzipSync(bytes)), layer.diffId);
        assert.equal((await describeLayer(pool, job)).diffId, layer.diffId);
      });
  });

describe("any number of threads makes the same bytes", () => {
  for (const method of ["gzip", "zstd:2"])
    test(method, async () => {
      const compression = parseCompression(method);
      const digests = new Set<string>();
      for (const threads of [1, 2, 7]) {
        const some = new PackPool(threads);
        const layers = await Promise.all(jobs.map((job) => pack(job, compression, some)));
        await some.close();
        for (const { bytes, layer } of layers) {
          const archive = compression.method === "gzip" ? gunzipSync(bytes) : await unzstd(bytes);
          assert.equal(sha256(archive), layer.diffId);
          assert.equal(archive.length, layer.archiveSize);
          assert.equal(layer.digest, sha256(bytes));
        }
        digests.add(layers.map(({ layer }) => layer.digest).join(" "));
      }
      assert.equal(digests.size, 1);
    });
});

test("no more is read ahead than the bound says", async () => {
  const two = new PackPool(2);
  const job = zeros(30 * MIB);
  const pieces: number[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const task = two.pack(job, GZIP, { piece: (n) => pieces.push(n), end: resolve, fail: reject });
  // Waits as long as reading all of it takes.
  await describeLayer(two, job);
  assert.ok(pieces.length <= 6, `${pieces.length} pieces`);
  let consumed = 1;
  task.consumed();
  await describeLayer(two, job);
  assert.ok(pieces.length <= 7, `${pieces.length} pieces`);
  const timer = setInterval(() => {
    for (; consumed < pieces.length; consumed++) task.consumed();
  }, 1);
  assert.equal(await promise, 32);
  clearInterval(timer);
  await two.close();
});

test("lent chunks are the same bytes, and what is given back is used again", async () => {
  const two = new PackPool(2);
  const job = zeros(30 * MIB);
  for (const compression of [GZIP, parseCompression("zstd")]) {
    const { bytes } = await pack(job, compression, two);
    const memories = new Set<ArrayBufferLike>();
    for (let round = 0; round < 4; round++) {
      const stream = packLayer(two, job, compression, { lends: true });
      const parts: Buffer[] = [];
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        parts.push(Buffer.from(chunk));
        if (chunk.buffer instanceof SharedArrayBuffer) memories.add(chunk.buffer);
        stream.recycle(chunk);
      }
      stream.recycleAll();
      assert.ok(Buffer.concat(parts).equals(bytes));
    }
    // Six at a time, and six that are being returned when the next round starts.
    assert.ok(memories.size > 0 && memories.size <= 12, `${memories.size} windows`);
  }
  await two.close();
});

test("a stream that is given up stops the packing, and the thread is free again", async () => {
  const one = new PackPool(1);
  const stream = packLayer(one, zeros(100 * MIB), GZIP);
  for await (const chunk of stream) if (chunk.length > 0) break;
  assert.equal(stream.destroyed, true);
  const { layer } = await pack(jobs[0] ?? zeros(1), GZIP, one);
  assert.ok(layer.size > 0);
  await one.close();
});

test("closing the pool fails what is being packed", async () => {
  const one = new PackPool(1);
  const packing = pack(zeros(50 * MIB), GZIP, one);
  const waiting = describeLayer(one, zeros(50 * MIB));
  const failures = Promise.all([failsWith("ABORTED", packing), failsWith("ABORTED", waiting)]);
  await one.close();
  await failures;
  await failsWith("INTERNAL", () => describeLayer(one, zeros(MIB)), /stopped/);
});

test("an error of a thread arrives with its code and hint", async () => {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  pool.pack({ ...zeros(1), directory: gone }, GZIP, { piece: () => {}, end: resolve, fail: reject });
  const error = await failsWith("SPEC_NOT_INSTALLED", promise, /gone is missing/);
  assert.match(error.hint ?? "", /install the spec again/);
});

test("a prefix that cannot be read fails the stream", async () => {
  await failsWith("SPEC_NOT_INSTALLED", pack({ ...zeros(1), directory: gone }), /gone is missing/);
  await failsWith("SPEC_NOT_INSTALLED", describeLayer(pool, { ...zeros(1), directory: gone }));
});

test("an aborted description is given up with the reason of the signal", async () => {
  const reason = new Error("enough");
  await assert.rejects(describeLayer(pool, zeros(1), AbortSignal.abort(reason)), reason);
  const controller = new AbortController();
  const describing = describeLayer(pool, zeros(200 * MIB), controller.signal);
  controller.abort(reason);
  await assert.rejects(describing, reason);
});

test("what a layer was is not known before its end", async () => {
  const stream = packLayer(pool, zeros(MIB), GZIP);
  await failsWith("INTERNAL", () => stream.layer, /end/);
  stream.destroy();
});

describe("a layer can be made again, from any offset", () => {
  for (const [name, job] of [
    ["small", zeros(1000)],
    ["of several pieces", zeros(3 * MIB)],
  ] as const)
    test(name, async () => {
      const { bytes, layer } = await pack(job);
      const source = layerSource(pool, job, GZIP, layer);
      assert.equal(source.size, bytes.length);
      for (const offset of [0, 1, 500, bytes.length])
        assert.ok((await readAll(await source.open(offset), 1e6, "again")).equals(bytes.subarray(offset)));
      appendFileSync(join(job.directory, "zeros"), "x");
      await failsWith("CONFLICT", async () => readAll(await source.open(3), 1e6, "again"), /layer differs/);
    });
});
