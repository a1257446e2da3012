// Proves that streams are cut into chunks, and that their memory is reused safely.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Chunker } from "../../../lib/target/registry/chunks.ts";

async function* streamOf(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

const CASES: { name: string; given: string[]; expect: string[] }[] = [
  { name: "nothing", given: [], expect: [] },
  { name: "an empty part", given: [""], expect: [] },
  { name: "less than a chunk", given: ["a", "b"], expect: ["ab!"] },
  { name: "exactly one chunk", given: ["ab", "cd"], expect: ["abcd!"] },
  { name: "one chunk and an empty part", given: ["abcd", ""], expect: ["abcd!"] },
  { name: "a part of several chunks", given: ["abcdefghi", "j"], expect: ["abcd", "efgh", "ij!"] },
  { name: "exactly two chunks", given: ["abcdefgh"], expect: ["abcd", "efgh!"] },
];

for (const { name, given, expect } of CASES)
  test(`cuts ${name}, and knows the last chunk`, async () => {
    const chunks: string[] = [];
    const recycled: string[] = [];
    const recycle = (part: Uint8Array): unknown => recycled.push(Buffer.from(part).toString());
    const cut = new Chunker().cut(streamOf(...given), 4, { recycle });
    for await (const { bytes, isLast } of cut) chunks.push(`${bytes}${isLast ? "!" : ""}`);
    assert.deepEqual(chunks, expect);
    assert.deepEqual(recycled, given);
  });

test("chunks hold the whole stream in order while the buffer grows", async () => {
  const whole = randomBytes(3_000_000);
  for (const size of [200_000, 256 * 1024, 300_000, 1_000_000, 4_000_000]) {
    const parts = Array.from({ length: Math.ceil(whole.length / 70_000) }, (_, at) =>
      whole.subarray(at * 70_000, (at + 1) * 70_000),
    );
    const chunks: Buffer[] = [];
    const cut = new Chunker().cut(
      (async function* () {
        yield* parts;
      })(),
      size,
    );
    for await (const { bytes, isLast } of cut) {
      assert.ok(isLast ? bytes.length <= size : bytes.length === size);
      chunks.push(Buffer.from(bytes));
    }
    assert.ok(Buffer.concat(chunks).equals(whole), `${size}`);
  }
});

test("chunks may turn out larger once there is more than one", async () => {
  for (const [text, expected] of [
    ["abcd", ["abcd"]],
    ["abcde", ["abcde"]],
    ["abcdefghijk", ["abcdefg", "hijk"]],
  ] as const) {
    const chunks: string[] = [];
    const cut = new Chunker().cut(streamOf(text), 4, { sizeOfMany: () => Promise.resolve(7) });
    for await (const { bytes } of cut) chunks.push(bytes.toString());
    assert.deepEqual(chunks, expected);
  }
});

test("memory is used again for the next stream, but not while another is cut or after one was given up", async () => {
  const chunker = new Chunker();
  const seen = new Set<ArrayBufferLike>();
  const cutAll = async (): Promise<void> => {
    for await (const { bytes } of chunker.cut(streamOf("abcdef"), 4)) seen.add(bytes.buffer);
  };
  await cutAll();
  await cutAll();
  assert.equal(seen.size, 1);
  await Promise.all([cutAll(), cutAll()]);
  assert.equal(seen.size, 2);
  for (let n = 0; n < 2; n++)
    for await (const { bytes } of chunker.cut(streamOf("abcdef"), 4)) {
      seen.add(bytes.buffer);
      break;
    }
  await cutAll();
  assert.equal(seen.size, 3);
});
