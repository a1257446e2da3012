// Proves that compression round-trips, is deterministic, and stores what cannot be compressed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import {
  type Compression,
  compressPiece,
  engineOf,
  formatCompression,
  layerMediaType,
  parseCompression,
} from "../../../lib/image/pack/compression.ts";
import { isIncompressible } from "../../../lib/image/pack/incompressible.ts";
import { OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from "../../../lib/oci/mediatype.ts";
import { packedMaker, programMaker, textMaker } from "../../../scripts/store-content.ts";
import { decompressed } from "../../support/decompress.ts";
import { failsWith } from "../../support/errors.ts";
import { LOADER } from "../../support/loader.ts";

describe("a compression is typed as METHOD or METHOD:LEVEL", () => {
  const rows = { gzip: "gzip:1", "gzip:12": "gzip:12", zstd: "zstd:2", "zstd:19": "zstd:19" };
  for (const [text, expected] of Object.entries(rows))
    test(text, () => assert.equal(formatCompression(parseCompression(text)), expected));
  for (const text of ["", "gzip:0", "gzip:13", "zstd:20", "gzip:", "gzip:1:2", "xz", "gzip:1.5", "GZIP", "gzip: 1"])
    test(`not ${JSON.stringify(text)}`, async () => {
      const error = await failsWith("USAGE", () => parseCompression(text));
      assert.match(error.hint ?? "", /gzip:1 to gzip:12/);
    });
});

test("each method has its media type", () => {
  assert.equal(layerMediaType(parseCompression("gzip")), OCI_LAYER_GZIP);
  assert.equal(layerMediaType(parseCompression("zstd")), OCI_LAYER_ZSTD);
});

// A stream of pieces, each compressed alone.
function compressAll(compression: Compression, bytes: Buffer, pieceSize: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceSize)
    parts.push(...compressPiece(compression, bytes.subarray(at, at + pieceSize)));
  return Buffer.concat(parts);
}

const unzstd = (bytes: Buffer): Promise<Buffer> => decompressed("zstd", [bytes]);

test("pieces of any kind and size decompress to what they were", async () => {
  const makers = [textMaker(1), programMaker(2), packedMaker(3)];
  const stretch = fc.tuple(
    fc.nat(2),
    fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 60_000, max: 140_000 })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(stretch, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1000, max: 200_000 }),
      fc.constantFrom("gzip:1", "gzip:6", "gzip:12", "zstd:1"),
      async (stretches, pieceSize, text) => {
        const bytes = Buffer.concat(stretches.map(([kind, size]) => makers[kind]?.make(size, "/s") ?? Buffer.alloc(0)));
        const compression = parseCompression(text);
        const packed = compressAll(compression, bytes, pieceSize);
        const unpacked = compression.method === "gzip" ? gunzipSync(packed) : await unzstd(packed);
        assert.ok(unpacked.equals(bytes));
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

test("each piece begins as Spack's layers do", () => {
  const header = Buffer.from("1f8b08000000000000ff", "hex");
  for (const maker of [textMaker(9), packedMaker(9)]) {
    const parts = compressPiece(parseCompression("gzip"), maker.make(70_000, "/s"));
    assert.ok(Buffer.concat(parts).subarray(0, 10).equals(header));
  }
});

test("gzip makes the same bytes on every machine", () => {
  const makers = [textMaker(1), programMaker(2), packedMaker(3)];
  const bytes = Buffer.concat(makers.map((maker) => maker.make(300_000, "/s")));
  const rows = { "gzip:1": "37185cbb320d7550", "gzip:6": "43746a7a7e4f1c2d", "gzip:12": "0c807dc86ecb40dd" };
  for (const [text, expected] of Object.entries(rows)) {
    const packed = compressAll(parseCompression(text), bytes, 1 << 20);
    assert.equal(createHash("sha256").update(packed).digest("hex").slice(0, 16), expected, text);
  }
});

test("the engine of gzip is the package that is installed", () => {
  const folder = new URL(".", import.meta.resolve("libdeflate"));
  const { name, version } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
  assert.equal(engineOf(parseCompression("gzip")), `${name} ${version}`);
  assert.match(engineOf(parseCompression("zstd")), /^zstd \d+\.\d/);
});

test("compressing leaves the process' handlers of errors as they are", () => {
  const script = `
    import { deflate } from ${JSON.stringify(new URL("../../../lib/image/pack/deflate.ts", import.meta.url).href)};
    const count = () => ["uncaughtException", "unhandledRejection"].map((event) => process.listenerCount(event)).join();
    process.on("unhandledRejection", () => {});
    const before = count();
    if (deflate(Buffer.alloc(100), 1).length === 0) throw new Error("nothing");
    console.log(before, count());
  `;
  const said = execFileSync(process.execPath, [...LOADER, "--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(said, "0,1 0,1\n");
});
