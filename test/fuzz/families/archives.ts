// Fuzzes tar archives, and the gzip and zstd members around them.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { isStaveError } from "../../../lib/errors.ts";
import { TarSplitter } from "../../../lib/image/archive/tar-splitter.ts";
import { padding, tarHeader } from "../../../lib/image/archive/tar-writer.ts";
import { compressPiece, DEFAULT_COMPRESSION } from "../../../lib/image/pack/compression.ts";
import { JoinAgain, joinLayers } from "../../../lib/image/pack/join.ts";
import { type Digest, digestOf } from "../../../lib/oci/digest.ts";
import { OCI_LAYER_GZIP } from "../../../lib/oci/mediatype.ts";
import { type TarMember, TarReader, type TarVisitor } from "../../../lib/relocate/unpack/tar-reader.ts";
import { unpackArchive } from "../../../lib/relocate/unpack/unpack.ts";
import { Decompressor, gunzip } from "../../../lib/util/decompress.ts";
import { temporaryFolder } from "../../support/tree.ts";
import type { Family } from "../family.ts";
import { archives } from "../seeds.ts";

const BLOCK = 512;
const packed = archives(6);
const tars = packed.map((bytes) => gunzipSync(bytes)).filter(({ length }) => length < 64 * 1024);
const pax = Buffer.from("30 path=a/b/c/d/e/f/g/h/i/j/k\n");
const WORDS = [
  "ustar\0" + "00",
  "ustar  \0",
  "../",
  "/",
  "./",
  "\0",
  "path=",
  "linkpath=",
  "size=",
  "GNU.sparse.major=1",
  "12 path=a/b\n",
];

/** The content of an archive, as text. */
function listing(bytes: Buffer, cuts: readonly number[] = []): string[] {
  const seen: string[] = [];
  let content = 0;
  const visitor: TarVisitor = {
    member: ({ type, name, linkName, mode, size }: TarMember) =>
      void seen.push(`${type} ${name} ${linkName} ${mode} ${size}`),
    content: (piece) => {
      content += piece.length;
    },
    contentEnd: () => void seen.push(`end at ${content}`),
  };
  const reader = new TarReader(visitor);
  let at = 0;
  for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    reader.push(bytes.subarray(at, cut));
    at = cut;
  }
  reader.end();
  assert.ok(content <= bytes.length);
  return seen;
}

// Corrects the checksum of every block that looks like a header, so that the code after the check is reached.
function withChecksums(bytes: Buffer): Buffer {
  for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
    if (bytes.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    bytes.fill(0x20, at + 148, at + 156);
    const sum = bytes.subarray(at, at + BLOCK).reduce((all, byte) => all + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  }
  return bytes;
}

// Unpacks into a folder beside which nothing may appear.
const yard = temporaryFolder();
async function unpack(bytes: Buffer, compression: "gzip" | "zstd" | "none"): Promise<void> {
  const folder = join(yard, "in");
  mkdirSync(folder);
  try {
    await unpackArchive(Readable.from([bytes], { objectMode: false }), folder, {
      compression,
      limits: { members: 10_000, bytes: 64 << 20, ratio: 200 },
    });
  } finally {
    rmSync(folder, { recursive: true });
    assert.deepEqual(readdirSync(yard), []);
  }
}

const WRITES = "each input that is accepted writes files";
const GZIP_WORDS = ["\x1f\x8b\x08\0\0\0\0\0\0\xff", "\0\0\0\0"];
const small = [Buffer.from("some text, some text, some text"), Buffer.alloc(3000, 7), Buffer.alloc(0)];
const member = fc.record({
  name: fc.stringMatching(/^[a-zA-Z0-9_.\xe4 -]{1,120}$/),
  content: fc.uint8Array({ maxLength: 1200 }),
});

// What an archive is split into must not depend on how its bytes arrive.
function split(bytes: Buffer, chunk: number): string[] {
  const entries: Buffer[] = [];
  const splitter = new TarSplitter((piece) => void entries.push(Buffer.from(piece)), "the archive");
  for (let at = 0; at < bytes.length; at += chunk) splitter.push(bytes.subarray(at, at + chunk));
  const all = Buffer.concat(entries);
  assert.ok(splitter.folderBytes + all.length <= bytes.length);
  return [...splitter.folders.map(({ name }) => name), digestOf(all), String(splitter.hasEnded)];
}

async function joined(bytes: Buffer): Promise<void> {
  const whole = async (): Promise<Buffer> => bytes;
  const source = { digest: digestOf(bytes), mediaType: OCI_LAYER_GZIP, size: bytes.length, open: whole, start: whole };
  const options = { compression: DEFAULT_COMPRESSION, undivided: new Set<Digest>() };
  for (let attempt = 0; ; attempt++) {
    const parts = joinLayers([source], options);
    try {
      const out: Buffer[] = [];
      let next = await parts.next();
      for (; !next.done; next = await parts.next()) out.push(next.value);
      assert.equal(digestOf(gunzip(Buffer.concat(out), 64 << 20, "the layer")), next.value.diffId);
      return;
    } catch (error) {
      if (!(error instanceof JoinAgain) || attempt > 1) throw error;
    }
  }
}

export const family: Family = {
  name: "archives",
  targets: [
    {
      name: "splitting an archive",
      seeds: tars,
      words: WORDS,
      share: { of: 0.5, because: "each is split twice" },
      run: (input) => {
        const whole = split(input, input.length || 1);
        assert.deepEqual(split(input, 700), whole);
      },
    },
    {
      name: "joining a layer",
      seeds: packed.filter(({ length }) => length < 64 * 1024),
      words: GZIP_WORDS,
      share: { of: 0.05, because: "each makes decoders" },
      run: joined,
    },
    {
      name: "tar",
      seeds: [...tars, Buffer.concat([pax, Buffer.alloc(1024)])],
      words: WORDS,
      run: (input) => listing(input),
    },
    {
      name: "tar with right checksums",
      seeds: tars,
      words: WORDS,
      run: (input) => listing(withChecksums(input)),
    },
    {
      name: "gzip members",
      seeds: small.map((bytes) => gzipSync(bytes)),
      words: GZIP_WORDS,
      share: { of: 0.5, because: "each makes decoders" },
      // Reading at once and in pieces gives the same result, or both refuse.
      run: async (input) => {
        const whole = await takenFrom(() => gunzip(input, 1 << 24, "the content"));
        const pieces = await takenFrom(() => decompressed("gzip", input, 7 + (input.length >> 3)));
        assert.deepEqual(pieces, whole);
      },
    },
    {
      name: "zstd frames",
      seeds: small.map((bytes) => zstdCompressSync(bytes)),
      words: ["\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18\x04\0\0\0abcd"],
      share: { of: 0.5, because: "each makes decoders" },
      run: async (input) => {
        const whole = await takenFrom(() => decompressed("zstd", input, input.length));
        const pieces = await takenFrom(() => decompressed("zstd", input, 7 + (input.length >> 3)));
        // The decoder compares a frame with its announced size only for some piece sizes.
        if (whole !== undefined && pieces !== undefined) assert.deepEqual(pieces, whole);
      },
    },
    {
      name: "unpacking a tar",
      seeds: tars,
      words: WORDS,
      share: { of: 0.1, because: WRITES },
      run: (input) => unpack(withChecksums(input), "none"),
    },
    {
      name: "unpacking gzip members",
      seeds: packed,
      words: GZIP_WORDS,
      share: { of: 0.1, because: WRITES },
      run: (input) => unpack(input, "gzip"),
    },
    {
      name: "unpacking zstd frames",
      seeds: tars.map((bytes) => zstdCompressSync(bytes)),
      words: ["\x28\xb5\x2f\xfd"],
      share: { of: 0.1, because: WRITES },
      run: (input) => unpack(input, "zstd"),
    },
  ],
  properties: [
    {
      name: "a tar is read alike in any pieces",
      check: (parameters) => {
        const made = fc
          .array(member, { maxLength: 5 })
          .map((members) =>
            Buffer.concat([
              ...members.flatMap(({ name, content }) => [
                tarHeader({ type: "file", name, linkName: "", executable: false, size: content.length }),
                Buffer.from(content),
                Buffer.alloc(padding(content.length, BLOCK)),
              ]),
              Buffer.alloc(2 * BLOCK),
            ]),
          );
        fc.assert(
          fc.property(made, fc.array(fc.nat(8000), { maxLength: 8 }), (bytes, cuts) => {
            const inside = cuts.filter((cut) => cut < bytes.length);
            assert.deepEqual(listing(bytes, inside), listing(bytes));
          }),
          parameters,
        );
      },
    },
    {
      name: "members of any sizes are read in any pieces",
      share: { of: 0.1, because: "each makes decoders" },
      check: async (parameters) => {
        const members = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 4 });
        const methods = fc.constantFrom("gzip" as const, "zstd" as const);
        await fc.assert(
          fc.asyncProperty(methods, members, fc.integer({ min: 1, max: 200 }), async (method, parts, size) => {
            const whole = parts.flatMap((part) => compressPiece({ method, level: 1 }, Buffer.from(part)));
            const given = Buffer.concat(whole);
            assert.ok((await decompressed(method, given, size)).equals(Buffer.concat(parts)));
          }),
          parameters,
        );
      },
    },
  ],
};

// The output for pieces of a given size.
async function decompressed(method: "gzip" | "zstd", bytes: Buffer, size: number): Promise<Buffer> {
  const found: Buffer[] = [];
  using reader = new Decompressor(method, (piece) => void found.push(Buffer.from(piece)), "the content");
  for (let at = 0; at < bytes.length; at += size) await reader.write(bytes.subarray(at, at + size));
  await reader.end();
  return Buffer.concat(found);
}

// The bytes; undefined if refused.
async function takenFrom(work: () => Buffer | Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isStaveError(error, "CONTENT_INVALID")) return undefined;
    throw error;
  }
}
