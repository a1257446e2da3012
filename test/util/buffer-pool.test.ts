// Memory that is lent again, and never to two at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { BufferPool } from "../../lib/util/buffer-pool.ts";
import { dice } from "../../scripts/dice.ts";
import { useSeed } from "../support/seed.ts";

test("documents made one after the other use the same memory", () => {
  const pool = new BufferPool();
  const buffers = new Set<ArrayBufferLike>();
  for (let size = 1; size < 60_000; size += 1000) {
    const bytes = pool.take(size);
    assert.equal(bytes.length, size);
    buffers.add(bytes.buffer);
    pool.give(bytes);
  }
  assert.equal(buffers.size, 1);
});

test("what is lent is nobody else's, until it is given back; bytes from elsewhere are never lent", () => {
  const random = dice(useSeed());
  const pool = new BufferPool();
  const lent = new Map<Buffer, number>();
  for (let round = 0; round < 2000; round++) {
    if (random() < 0.5 || lent.size === 0) {
      const bytes = pool.take(1 + Math.floor(random() * 200_000));
      for (const other of lent.keys()) assert.notEqual(other.buffer, bytes.buffer);
      lent.set(bytes.fill(round % 256), round % 256);
    } else {
      const [bytes, value] = [...lent][Math.floor(random() * lent.size)] ?? [];
      assert.ok(bytes);
      assert.ok(bytes.every((byte) => byte === value));
      lent.delete(bytes);
      pool.give(bytes);
      // Giving it back twice changes nothing.
      pool.give(bytes);
    }
    pool.give(Buffer.alloc(100_000));
  }
});

test("what is never given back is left to the garbage collector", async () => {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  assert.ok(typeof collect === "function");
  const pool = new BufferPool();
  for (let round = 0; round < 100; round++) pool.take(1024 * 1024);
  const isFreed = (): boolean => process.memoryUsage().arrayBuffers < 50 * 1024 * 1024;
  // V8 frees buffers beside the program, some time after the collection.
  for (let attempt = 0; attempt < 100 && !isFreed(); attempt++) {
    collect();
    await setTimeout(20);
  }
  assert.ok(isFreed());
  const again = pool.take(1024 * 1024);
  pool.give(again);
  assert.equal(pool.take(1024 * 1024).buffer, again.buffer);
});
