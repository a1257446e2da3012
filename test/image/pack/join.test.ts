// Proves that joined layers hold what their parts hold, with each name once, whoever made the parts.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import type { ArchiveJob } from "../../../lib/image/archive/archive.ts";
import { type Compression, compressPiece, parseCompression, pieceSizeOf } from "../../../lib/image/pack/compression.ts";
import {
  JoinAgain,
  type JoinedArchive,
  type JoinOptions,
  type JoinSource,
  joinLayers,
} from "../../../lib/image/pack/join.ts";
import { packLayer } from "../../../lib/image/pack/layer.ts";
import { PackPool } from "../../../lib/image/pack/pack-pool.ts";
import { type Digest, digestOf } from "../../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../../lib/oci/mediatype.ts";
import { TarReader } from "../../../lib/relocate/unpack/tar-reader.ts";
import { readAll } from "../../../lib/util/stream.ts";
import { dice } from "../../../scripts/dice.ts";
import { decompressed } from "../../support/decompress.ts";
import { failsWith } from "../../support/errors.ts";
import { useSeed } from "../../support/seed.ts";
import { temporaryFolder } from "../../support/tree.ts";

useSeed();
const GZIP = parseCompression("gzip");
const ZSTD = parseCompression("zstd");
const pool = new PackPool(2);
after(() => pool.close());

/** A prefix below a root with some files, the last one of `size` random bytes. */
function prefix(root: string, name: string, size: number): ArchiveJob {
  const directory = join(temporaryFolder(), "p");
  for (const folder of [".spack", "share/doc"]) mkdirSync(join(directory, folder), { recursive: true });
  writeFileSync(join(directory, "share/doc/readme"), name.repeat(100));
  const random = dice(size + name.length);
  // The large one does not compress, so that its layer is streamed.
  const [length, values] = size > 1e6 ? [size, 256] : [5000, 40];
  const bytes = Buffer.alloc(size, Buffer.from(Array.from({ length }, () => Math.floor(random() * values))));
  writeFileSync(join(directory, "share/doc/data"), bytes);
  const path = `${root}/${name}`;
  return { root, prefix: path, spackPrefix: root, mentioned: [root], legacy: false, hashToPrefix: [], directory };
}

const LONG = `/opt/${"padded-".repeat(16)}store`;
const jobs = [
  prefix("/opt/store/linux-zen3", "alpha", 10),
  prefix("/opt/store/linux-x86_64", "beta", 3_000_000),
  prefix("/opt/store/linux-zen3", "gamma", 200_000),
  prefix(LONG, "delta", 5_000),
  prefix(LONG, "epsilon", 0),
];

async function packed(job: ArchiveJob, compression: Compression): Promise<Buffer> {
  return await readAll(packLayer(pool, job, compression), 100e6, "layer");
}

/** As layers were before: the folders are in the first of the pieces of 1 MiB. */
async function asBefore(job: ArchiveJob): Promise<Buffer> {
  const archive = await decompressed("gzip", [await packed(job, GZIP)]);
  let end = archive.length;
  while (archive.subarray(end - 512, end).every((byte) => byte === 0)) end -= 512;
  const parts: Buffer[] = [];
  for (let at = 0; at < end; at += pieceSizeOf(GZIP))
    parts.push(...compressPiece(GZIP, archive.subarray(at, Math.min(end, at + pieceSizeOf(GZIP)))));
  return Buffer.concat([...parts, ...compressPiece(GZIP, archive.subarray(end))]);
}

const MAKERS: Record<string, (job: ArchiveJob) => Promise<Buffer>> = {
  stave: (job) => packed(job, GZIP),
  "stave with zstd": (job) => packed(job, ZSTD),
  "earlier stave": asBefore,
  Spack: async (job) => gzipSync(await decompressed("gzip", [await packed(job, GZIP)])),
  "one zstd frame": async (job) => zstdCompressSync(await decompressed("gzip", [await packed(job, GZIP)])),
};

function source(bytes: Buffer, chunk = 64 * 1024): JoinSource {
  const mediaType = bytes[0] === 0x1f ? OCI_LAYER_GZIP : OCI_LAYER_ZSTD;
  const chunks = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
  };
  return {
    digest: digestOf(bytes),
    mediaType,
    size: bytes.length,
    open: async () => Readable.from(chunks(), { objectMode: false }),
    start: async (length) => bytes.subarray(0, length),
  };
}

async function joined(
  sources: readonly JoinSource[],
  options: Partial<JoinOptions> = {},
): Promise<{ bytes: Buffer; archive: JoinedArchive; undivided: ReadonlySet<Digest> }> {
  const undivided = new Set<Digest>();
  for (;;) {
    const parts = joinLayers(sources, { compression: GZIP, undivided, ...options });
    const out: Buffer[] = [];
    try {
      for (;;) {
        const { done, value } = await parts.next();
        if (done) return { bytes: Buffer.concat(out), archive: value, undivided };
        out.push(value);
      }
    } catch (error) {
      if (!(error instanceof JoinAgain)) throw error;
    }
  }
}

/** Names with the digests of contents; each name may come once, and folders before what is in them. */
function entriesOf(archive: Buffer): Map<string, string> {
  const entries = new Map<string, string>();
  let content: Buffer[] = [];
  let last = "";
  const reader = new TarReader({
    member({ name, type }) {
      assert.ok(!entries.has(name), `${name} comes twice`);
      const parent = name.slice(0, Math.max(0, name.lastIndexOf("/")));
      assert.ok(parent === "" || entries.get(parent) === "directory", `${name} before its folder`);
      entries.set(name, type);
      last = name;
    },
    content: (bytes) => void content.push(Buffer.from(bytes)),
    contentEnd() {
      entries.set(last, digestOf(Buffer.concat(content)));
      content = [];
    },
  });
  reader.push(archive);
  reader.end();
  assert.equal(archive.length % 10_240, 0);
  return entries;
}

async function unpacked(bytes: Buffer, compression = GZIP): Promise<Map<string, string>> {
  return entriesOf(await decompressed(compression.method, [bytes]));
}

describe("a joined layer has all entries once, and its diffID is that of its archive", () => {
  const ROWS: { name: string; makers: string[]; compression?: Compression; undivided: number }[] = [
    { name: "of layers of stave", makers: ["stave"], undivided: 0 },
    { name: "of layers of an earlier stave", makers: ["earlier stave"], undivided: 0 },
    { name: "of layers of Spack", makers: ["Spack"], undivided: 5 },
    { name: "of all kinds", makers: Object.keys(MAKERS), undivided: 1 },
    { name: "of zstd layers", makers: ["stave with zstd"], compression: ZSTD, undivided: 0 },
    { name: "of gzip layers as zstd", makers: ["stave", "one zstd frame"], compression: ZSTD, undivided: 2 },
  ];
  for (const { name, makers, compression = GZIP, undivided: count } of ROWS)
    test(name, async () => {
      const layers = await Promise.all(
        jobs.map((job, at) => MAKERS[makers[at % makers.length] ?? ""]?.(job) ?? assert.fail()),
      );
      const { bytes, archive, undivided } = await joined(
        layers.map((layer) => source(layer)),
        { compression },
      );
      const raw = await decompressed(compression.method, [bytes]);
      assert.equal(archive.diffId, digestOf(raw));
      const expected = new Map<string, string>();
      for (const job of jobs)
        for (const [entry, value] of await unpacked(await packed(job, GZIP))) expected.set(entry, value);
      assert.deepEqual(new Map([...entriesOf(raw)].sort()), new Map([...expected].sort()));
      assert.equal(undivided.size, count);
      const again = await joined(
        layers.map((layer) => source(layer)),
        { compression, known: archive },
      );
      assert.ok(again.bytes.equals(bytes), "the same bytes without decompressing");
    });
});

test("contents are passed on as they are, and only the folders and the end are made", async () => {
  const layers = await Promise.all(jobs.map((job) => packed(job, GZIP)));
  const { bytes } = await joined(layers.map((layer) => source(layer)));
  for (const layer of layers) assert.ok(bytes.includes(layer.subarray(600, layer.length - 600)));
  const sum = layers.reduce((size, layer) => size + layer.length, 0);
  assert.ok(bytes.length < sum && bytes.length > sum - 300 * layers.length);
});

test("what was packed just now is not decompressed: its archive gives the diffID", async () => {
  const parts = await Promise.all(
    jobs.map(async (job) => {
      const stream = packLayer(pool, job, GZIP, { keepsArchive: true });
      const bytes = await readAll(stream, 100e6, "layer");
      return { bytes, archive: stream.takeArchive() };
    }),
  );
  const expected = await joined(parts.map(({ bytes }) => source(bytes)));
  const sources = parts.map(({ bytes, archive }): JoinSource => {
    const damaged = Buffer.from(bytes);
    // In the middle of the entries, which only decompressing them would notice.
    const middle = Math.floor(bytes.length / 2);
    damaged.fill(0xff, middle, middle + 4);
    return { ...source(damaged), open: async () => damaged, archive: () => archive };
  });
  const { archive } = await joined(sources);
  assert.deepEqual(archive, expected.archive);
  await failsWith("CONTENT_INVALID", joined(sources.map(({ archive: _, ...one }) => one)));
});

test("large layers are opened once and read as fast as the joined one is, never as a whole", async () => {
  const layers = await Promise.all([prefix("/opt/store", "big", 12_000_000), ...jobs].map((job) => packed(job, GZIP)));
  let [opened, asked, ahead] = [0, 0, 0];
  let given = 0;
  const sources = layers.map((bytes): JoinSource => {
    const { open, ...one } = source(bytes);
    return {
      ...one,
      open: async () => {
        opened++;
        const stream = await open();
        assert.ok(!Buffer.isBuffer(stream));
        return stream
          .on("data", (chunk: Buffer) => {
            given += chunk.length;
          })
          .pause();
      },
      start: async (length) => {
        asked += length;
        return bytes.subarray(0, length);
      },
    };
  });
  let taken = 0;
  const parts = joinLayers(sources, { compression: GZIP, undivided: new Set() });
  for await (const part of parts) {
    taken += part.length;
    ahead = Math.max(ahead, given - taken);
  }
  assert.equal(opened, layers.length);
  assert.ok(asked <= layers.length * 64 * 1024, `${asked} bytes of beginnings`);
  assert.ok(taken > 12_000_000 && ahead < 1024 * 1024, `${ahead} bytes were read ahead`);
});

test("layers can be joined step by step, in chunks of any size", async () => {
  const layers = await Promise.all(jobs.filter((_, at) => at !== 1).map((job) => packed(job, GZIP)));
  const [a, b, c, d] = layers;
  assert.ok(a && b && c && d);
  const whole = await joined([a, b, c, d].map((layer) => source(layer)));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 70_000 }), async (chunk) => {
      const first = await joined([a, c].map((layer) => source(layer, chunk)));
      const second = await joined([first.bytes, b, d].map((layer) => source(layer, chunk)));
      assert.equal(first.undivided.size + second.undivided.size, 0);
      assert.equal(second.archive.diffId, digestOf(await decompressed("gzip", [second.bytes])));
      assert.deepEqual(
        new Map([...(await unpacked(second.bytes))].sort()),
        new Map([...(await unpacked(whole.bytes))].sort()),
      );
    }),
    { numRuns: 20 },
  );
});

test("an archive that ends before its last member is compressed again", async () => {
  const [job] = jobs;
  assert.ok(job);
  const archive = await decompressed("gzip", [await packed(job, GZIP)]);
  const half = archive.length - 1024;
  // The last member holds zeros only, but the end begins in the one before.
  const odd = Buffer.concat([
    gzipSync(archive.subarray(0, 512)),
    gzipSync(archive.subarray(512, half)),
    gzipSync(archive.subarray(half)),
  ]);
  const { bytes, archive: found, undivided } = await joined([source(odd)]);
  assert.deepEqual([...undivided], [digestOf(odd)]);
  assert.equal(found.diffId, digestOf(await decompressed("gzip", [bytes])));
  assert.deepEqual(await unpacked(bytes), entriesOf(archive));
});

test("what is no archive is CONTENT_INVALID", async () => {
  const [job] = jobs;
  assert.ok(job);
  const layer = await packed(job, GZIP);
  for (const bytes of [gzipSync("no archive"), layer.subarray(0, layer.length - 60), gzipSync(Buffer.alloc(512, 1))])
    await failsWith("CONTENT_INVALID", joined([source(bytes)]));
});
