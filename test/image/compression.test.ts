import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32, gunzipSync } from "node:zlib";
import fc from "fast-check";
import {
  type Compression,
  compressPiece,
  formatCompression,
  LOOK_BACK,
  layerMediaType,
  parseCompression,
  streamHead,
  streamTail,
} from "../../lib/image/compression.ts";
import { isIncompressible } from "../../lib/image/entropy.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../lib/oci/mediatype.ts";
import { readAll } from "../../lib/util/stream.ts";
import { createZstdReader } from "../../lib/util/zstd.ts";
import { packedMaker, programMaker, textMaker } from "../../scripts/store-content.ts";
import { failsWith } from "../support/errors.ts";

describe("a compression is typed as METHOD or METHOD:LEVEL", () => {
  const rows = { gzip: "gzip:4", "gzip:9": "gzip:9", zstd: "zstd:3", "zstd:19": "zstd:19" };
  for (const [text, expected] of Object.entries(rows))
    test(text, () => assert.equal(formatCompression(parseCompression(text)), expected));
  for (const text of ["", "gzip:0", "gzip:10", "zstd:20", "gzip:", "gzip:1:2", "xz", "gzip:1.5", "GZIP", "gzip: 1"])
    test(`not ${JSON.stringify(text)}`, async () => {
      const error = await failsWith("USAGE", () => parseCompression(text));
      assert.match(error.hint ?? "", /gzip:1 to gzip:9/);
    });
});

test("each method has its media type", () => {
  assert.equal(layerMediaType(parseCompression("gzip")), OCI_LAYER_GZIP);
  assert.equal(layerMediaType(parseCompression("zstd")), OCI_LAYER_ZSTD);
});

// A stream of pieces, each compressed alone with the end of what is before it.
function compressAll(compression: Compression, bytes: Buffer, pieceSize: number): Buffer {
  const parts = [streamHead(compression)];
  for (let at = 0; at < bytes.length; at += pieceSize) {
    const from = Math.max(0, at - LOOK_BACK);
    parts.push(...compressPiece(compression, bytes.subarray(from, at + pieceSize), at - from));
  }
  const { tail } = streamTail(compression, { size: bytes.length, crc: crc32(bytes) }, Buffer.from("the end"));
  return Buffer.concat([...parts, tail]);
}

function unzstd(bytes: Buffer): Promise<Buffer> {
  const reader = createZstdReader();
  reader.end(bytes);
  return readAll(reader, 100e6, "archive");
}

test("pieces of any kind and size decompress to what they were", async () => {
  const makers = [textMaker(1), programMaker(2), packedMaker(3)];
  const stretch = fc.tuple(fc.nat(2), fc.oneof(fc.nat(300), fc.integer({ min: 60_000, max: 140_000 })));
  await fc.assert(
    fc.asyncProperty(
      fc.array(stretch, { maxLength: 6 }),
      fc.integer({ min: 1000, max: 200_000 }),
      fc.constantFrom("gzip:1", "gzip:4", "gzip:9", "zstd:1"),
      async (stretches, pieceSize, text) => {
        const bytes = Buffer.concat(stretches.map(([kind, size]) => makers[kind]?.make(size, "/s") ?? Buffer.alloc(0)));
        const compression = parseCompression(text);
        const packed = compressAll(compression, bytes, pieceSize);
        const unpacked = compression.method === "gzip" ? gunzipSync(packed) : await unzstd(packed);
        assert.ok(unpacked.equals(Buffer.concat([bytes, Buffer.from("the end")])));
      },
    ),
    { numRuns: 60 },
  );
});

test("what compression cannot make smaller is stored, and hardly grows", () => {
  const packed = packedMaker(5).make(1 << 20, "/s");
  const text = textMaker(5).make(1 << 20, "/s");
  assert.equal(isIncompressible(packed.subarray(0, 65_536)), true);
  assert.equal(isIncompressible(text.subarray(0, 65_536)), false);
  assert.equal(isIncompressible(programMaker(5).make(65_536, "/s")), false);
  assert.equal(isIncompressible(packed.subarray(0, 1000)), false);
  const stored = compressAll(parseCompression("gzip"), packed, 1 << 20);
  assert.ok(stored.length < packed.length * 1.0002 + 100);
  assert.ok(stored.includes(packed.subarray(1000, 50_000)));
});

test("the header is Spack's, and the end of the archive is a member of its own", () => {
  const bytes = textMaker(9).make(5000, "/s");
  const gzip = compressAll(parseCompression("gzip"), bytes, 2000);
  const header = Buffer.from("1f8b08000000000000ff", "hex");
  assert.ok(gzip.subarray(0, 10).equals(header));
  const second = gzip.lastIndexOf(header);
  assert.ok(gunzipSync(gzip.subarray(0, second)).equals(bytes));
  assert.equal(gunzipSync(gzip.subarray(second)).toString(), "the end");
});
