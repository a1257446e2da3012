// Streams whose chunks are neither joined nor kept: what arrives, what fails, and whose memory is freed.
import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import type { ErrorCode } from "../../lib/errors.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { giveAway, release, releaserOf } from "../../lib/util/free-chunks.ts";
import { readAll, unjoined, verifiedStream } from "../../lib/util/stream.ts";
import { failsWith } from "../support/errors.ts";

const PIECES = Array.from({ length: 20 }, (_, at) => Buffer.alloc(1000 + at, at));
const filled = (): PassThrough => {
  const stream = new PassThrough({ highWaterMark: 1024 * 1024 });
  for (const piece of PIECES) stream.write(piece);
  return stream;
};
const collect = async (chunks: AsyncIterable<Buffer>): Promise<Buffer[]> => await Array.fromAsync(chunks);

test("chunks that wait are not joined", async () => {
  const stream = filled();
  stream.end();
  assert.deepEqual(await collect(unjoined(stream)), PIECES);
  assert.equal(stream.destroyed, true);
});

test("chunks that came before an error are read, then it is thrown", async () => {
  const stream = filled();
  const seen: Buffer[] = [];
  await assert.rejects(async () => {
    for await (const chunk of unjoined(stream)) {
      seen.push(chunk);
      if (seen.length === PIECES.length) stream.destroy(new Error("it broke"));
    }
  }, /it broke/);
  assert.deepEqual(seen, PIECES);
});

test("a stream that is closed before its end is an error", async () => {
  const stream = filled();
  await assert.rejects(async () => {
    let seen = 0;
    for await (const _ of unjoined(stream)) if (++seen === PIECES.length) stream.destroy();
  }, /[Pp]remature close/);
});

test("a reader that stops closes the stream", async () => {
  const stream = filled();
  for await (const _ of unjoined(stream)) break;
  assert.equal(stream.destroyed, true);
});

const bytes = Buffer.concat(PIECES);
const right = { digest: digestOf(bytes), size: bytes.length };
const cases: { name: string; expected: typeof right; code: ErrorCode | undefined }[] = [
  { name: "right", expected: right, code: undefined },
  { name: "of another digest", expected: { ...right, digest: digestOf("x") }, code: "DIGEST_MISMATCH" },
  { name: "too long", expected: { ...right, size: 1500 }, code: "SIZE_MISMATCH" },
  { name: "too short", expected: { ...right, size: bytes.length + 1 }, code: "SIZE_MISMATCH" },
];
for (const { name, expected, code } of cases)
  test(`a verified stream that is ${name} ${code === undefined ? "ends" : `fails with ${code}`}`, async () => {
    const source = Readable.from(PIECES, { objectMode: true });
    const verified = verifiedStream(source, expected, "it");
    if (code === undefined) assert.deepEqual(Buffer.concat(await collect(verified)), bytes);
    else await failsWith(code, collect(verified));
    assert.equal(source.destroyed, true);
  });

test("a verified stream that nobody reads closes its source", async () => {
  const source = filled();
  const verified = verifiedStream(source, right, "it").destroy();
  await new Promise((resolve) => verified.once("close", resolve));
  assert.equal(source.destroyed, true);
});

test("memory is freed only of whole chunks, and only of streams that gave them away", () => {
  // 64 KiB is what a socket reads at once, and the size of Node's pool.
  const piece = Buffer.allocUnsafeSlow(64 * 1024);
  release(piece.subarray(1));
  assert.equal(piece.byteLength, 64 * 1024);
  release(piece);
  assert.equal(piece.byteLength, 0);
  // Parts of the pool have less than half of it.
  const pooled = Buffer.allocUnsafe(Buffer.poolSize / 2 - 1000);
  release(pooled);
  assert.equal(pooled.byteLength, Buffer.poolSize / 2 - 1000);
  const stream = Readable.from([]);
  assert.equal(releaserOf(stream), undefined);
  assert.equal(releaserOf(giveAway(stream)), release);
});

test("a whole stream has all its bytes, whatever its chunks, and no more than its limit", async () => {
  for (const sizes of [[], [0], [7], [1, 1, 1, 1, 1], [1, 0, 5000, 1, 1], [4096, 4096], [3, 70_000, 2]]) {
    const chunks = sizes.map((size, at) => Buffer.alloc(size, at + 1));
    const whole = Buffer.concat(chunks);
    assert.deepEqual(await readAll(Readable.from(chunks), whole.byteLength, "it"), whole);
    const more = Readable.from([...chunks, Buffer.alloc(1)]);
    await failsWith("TOO_LARGE", readAll(more, whole.byteLength, "it"));
  }
});
