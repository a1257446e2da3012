// Proves that all gzip members and zstd frames are read to the last byte, and that anything else is an error.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { type CompressionMethod, gunzip } from "../../lib/util/decompress.ts";
import { ZstdFrames } from "../../lib/util/zstd-frames.ts";
import { someBytes } from "../support/content.ts";
import { decompressed } from "../support/decompress.ts";
import { failsWith } from "../support/errors.ts";
import { useSeed } from "../support/seed.ts";

useSeed();

const COMPRESS = { gzip: gzipSync, zstd: zstdCompressSync } as const;
const METHODS = ["gzip", "zstd"] as const;

/** The relevant ways to cut bytes into chunks: at each byte, at one place, not at all. */
function* cuts(bytes: Buffer): Iterable<Buffer[]> {
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  for (let at = 1; at <= bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
}

for (const method of METHODS)
  test(`${method} members that follow each other are all read, however they are cut into chunks`, async () => {
    const member = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(300_000).map((size) => Buffer.alloc(size, `${size} `)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(member, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(2000), { maxLength: 10 }),
        fc.nat(method === "gzip" ? 3 : 0),
        async (members, at, zeros) => {
          const packed = Buffer.concat([...members.map((bytes) => COMPRESS[method](bytes)), Buffer.alloc(zeros)]);
          const ends = [0, ...at.map((n) => n % (packed.length + 1)).sort((a, b) => a - b), packed.length];
          const chunks = ends.slice(1).map((end, i) => packed.subarray(ends[i], end));
          assert.ok((await decompressed(method, chunks)).equals(Buffer.concat(members)));
        },
      ),
      { numRuns: 200 },
    );
  });

test("the end of a zstd frame is found without decompressing it, for any content, level and cut", () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    // Incompressible blocks, and blocks of one repeated byte.
    fc.nat(400_000).map((size) => someBytes(size, size)),
    fc.nat(400_000).map((size) => Buffer.alloc(size, 7)),
  );
  const frame = fc.tuple(content, fc.constantFrom(1, 3, 19), fc.boolean()).map(([bytes, level, checksum]) => {
    const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = constants;
    return zstdCompressSync(bytes, {
      params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: Number(checksum) },
    });
  });
  fc.assert(
    fc.property(
      fc.array(frame, { minLength: 1, maxLength: 3 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (all, cut) => {
        const bytes = Buffer.concat(all);
        const ends = new Set(all.map((_, at) => Buffer.concat(all.slice(0, at + 1)).length));
        const at = Math.floor(cut * bytes.length);
        const frames = new ZstdFrames();
        frames.read(bytes.subarray(0, at));
        assert.equal(frames.isComplete, ends.has(at));
        frames.read(bytes.subarray(at));
        assert.ok(frames.isComplete);
        frames.read(Buffer.from([1, 2, 3, 4]));
        assert.equal(frames.isValid, false);
      },
    ),
    { numRuns: 100 },
  );
});

describe("what stands behind the last member", () => {
  const text = Buffer.from("some text, some text, some text");
  const [gzip, zstd] = [gzipSync(text), zstdCompressSync(text)];
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const nothing = Buffer.alloc(0);
  const rows: [name: string, method: CompressionMethod, more: Buffer, isRight: boolean][] = [
    ["nothing", "gzip", nothing, true],
    ["a zero", "gzip", Buffer.alloc(1), true],
    ["many zeros", "gzip", Buffer.alloc(70), true],
    ["a byte", "gzip", Buffer.from([7]), false],
    ["zeros and a byte", "gzip", Buffer.from([0, 0, 7]), false],
    ["zeros and a member", "gzip", Buffer.concat([Buffer.alloc(2), gzip]), false],
    ["a member that is cut", "gzip", gzip.subarray(0, -1), false],
    ["the first byte of a member", "gzip", gzip.subarray(0, 1), false],
    ["nothing", "zstd", nothing, true],
    ["a skippable frame", "zstd", skippable, true],
    ["two skippable frames", "zstd", Buffer.concat([skippable, skippable]), true],
    ["a skippable frame that is cut", "zstd", skippable.subarray(0, -1), false],
    ["a frame that is cut", "zstd", zstd.subarray(0, -1), false],
    ["the first byte of a frame", "zstd", zstd.subarray(0, 1), false],
    ["zeros, which no zstd frame begins with", "zstd", Buffer.alloc(4), false],
    ["a zero", "zstd", Buffer.alloc(1), false],
    ["text", "zstd", Buffer.from("garbage"), false],
  ];
  for (const [name, method, more, isRight] of rows)
    test(`${method}, then ${name}: ${isRight ? "right" : "an error, and no hang"}`, async () => {
      const whole = Buffer.concat([method === "gzip" ? gzip : zstd, more]);
      for (const chunks of cuts(whole)) {
        const work = decompressed(method, chunks);
        if (isRight) assert.deepEqual(await work, text);
        else await failsWith("CONTENT_INVALID", work, /^the content is not a complete (?:gzip|zstd) stream: /);
      }
      if (method === "zstd") return;
      const atOnce = async (): Promise<Buffer> => gunzip(whole, 1000, "the content");
      if (isRight) assert.deepEqual(await atOnce(), text);
      else await failsWith("CONTENT_INVALID", atOnce(), /^the content is not a complete gzip stream: /);
    });
});

for (const method of METHODS)
  test(`content that is no ${method} at all, or nothing, is an error`, async () => {
    await failsWith("CONTENT_INVALID", decompressed(method, [Buffer.from("plain text, and more")]), /not a complete/);
    await failsWith("CONTENT_INVALID", decompressed(method, []), /not a complete/);
  });

test("what is decompressed at once has a limit", async () => {
  const work = async (): Promise<Buffer> => gunzip(gzipSync(Buffer.alloc(2000)), 1000, "the content");
  await failsWith("CONTENT_INVALID", work(), /limit is 1000 bytes/);
});
