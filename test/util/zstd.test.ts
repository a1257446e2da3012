import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { readAll } from "../../lib/util/stream.ts";
import { createZstdReader } from "../../lib/util/zstd.ts";

function decompress(chunks: Buffer[]): Promise<Buffer> {
  const reader = createZstdReader();
  pipeline(Readable.from(chunks, { objectMode: false }), reader).catch(() => {});
  return readAll(reader, 1e9, "content");
}

test("frames that follow each other are all read, however they are cut into chunks", async () => {
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.nat(300_000).map((size) => Buffer.alloc(size, `${size} `)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 5 }),
      fc.array(fc.nat(2000), { maxLength: 10 }),
      async (frames, at) => {
        const packed = Buffer.concat(frames.map((bytes) => zstdCompressSync(bytes)));
        const cuts = [0, ...at.map((n) => n % (packed.length + 1)).sort((a, b) => a - b), packed.length];
        const chunks = cuts.slice(1).map((end, i) => packed.subarray(cuts[i], end));
        assert.ok((await decompress(chunks)).equals(Buffer.concat(frames)));
      },
    ),
    { numRuns: 200 },
  );
});

test("a frame that is cut off or damaged is an error", async () => {
  const frame = zstdCompressSync(Buffer.alloc(100_000, "some text "));
  await assert.rejects(decompress([frame, frame.subarray(0, -2)]));
  await assert.rejects(decompress([Buffer.concat([frame, Buffer.from("garbage")])]));
});
