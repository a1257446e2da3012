// Proves that chunks of a stream get into a file in order and once, on a fast disk, on a slow one and on a full one.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemCode } from "../../lib/errors.ts";
import { PieceWriter } from "../../lib/util/piece-writer.ts";
import { someBytes } from "../support/content.ts";

const folder = mkdtempSync(join(tmpdir(), "stave-pieces-"));
after(() => rmSync(folder, { recursive: true }));

const CHUNKS = [70_000, 1, 300_000, 64 * 1024, 0, 64 * 1024, 500].map((size, at) => someBytes(size, String(at)));

for (const { name, slow, isAtOnce } of [
  { name: "fast", slow: Number.POSITIVE_INFINITY, isAtOnce: true },
  // Every write takes longer than this.
  { name: "slow", slow: -1, isAtOnce: false },
])
  test(`a disk that is ${name} gets each chunk once, in order`, async () => {
    const path = join(folder, name);
    const handle = await open(path, "wx");
    const recycled: Uint8Array[] = [];
    const writer = new PieceWriter(handle, { slow, piece: 128 * 1024, recycle: (chunk) => recycled.push(chunk) });
    try {
      for (const [at, chunk] of CHUNKS.entries()) {
        await writer.write(chunk);
        if (isAtOnce) assert.equal(recycled.length, at + 1);
      }
      // The first write shows what the disk is like.
      if (!isAtOnce) assert.ok(recycled.length < CHUNKS.length);
      await writer.flush();
    } finally {
      await handle.close();
    }
    assert.ok(readFileSync(path).equals(Buffer.concat(CHUNKS)));
    assert.deepEqual(recycled, CHUNKS);
  });

test("a full disk is an error, whichever thread writes", { skip: process.platform !== "linux" }, async () => {
  for (const slow of [Number.POSITIVE_INFINITY, -1]) {
    const handle = await open("/dev/full", "w");
    const writer = new PieceWriter(handle, { slow, piece: 1 });
    const failed = await (async () => {
      for (const chunk of CHUNKS) await writer.write(chunk);
      await writer.flush();
    })().catch(systemCode);
    assert.equal(failed, "ENOSPC");
    await writer.abandon();
    await handle.close();
  }
});
