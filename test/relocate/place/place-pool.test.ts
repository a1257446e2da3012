// Proves that archives get to the placing threads in few messages, whatever the chunks in which they arrive.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { digestOf } from "../../../lib/oci/digest.ts";
import { PlacePool } from "../../../lib/relocate/place/place-pool.ts";
import { DEFAULT_PERMISSIONS } from "../../../lib/relocate/unpack/tree-writer.ts";
import { jobFor, pack } from "../../support/archive.ts";
import { someBytes } from "../../support/content.ts";
import { temporaryFolder } from "../../support/tree.ts";

const HASH = "a".repeat(32);

test("the chunks of a large archive go to a thread several at a time, and arrive whole", async (context) => {
  const content = Buffer.from(someBytes(3_000_000));
  const { archive } = pack(jobFor([{ type: "file", path: "data", mode: 0o644, content }]));
  const bytes: number[] = [];
  const send = Worker.prototype.postMessage;
  context.mock.method(Worker.prototype, "postMessage", function (this: Worker, ...all: Parameters<typeof send>) {
    const [order] = all;
    if (order.type === "bytes" && order.bytes !== undefined)
      bytes.push(order.bytes.reduce((sum: number, part: Uint8Array) => sum + part.length, 0));
    send.apply(this, all);
  });
  const chunks = Array.from({ length: Math.ceil(archive.length / 65_536) }, (_, at) =>
    // Some have memory of their own, which moves to the thread, and some do not.
    at % 3 === 0
      ? archive.subarray(at * 65_536, (at + 1) * 65_536)
      : Buffer.from(new Uint8Array(archive.subarray(at * 65_536, (at + 1) * 65_536)).buffer),
  );
  const folder = join(temporaryFolder(), "place");
  mkdirSync(folder);
  await using pool = new PlacePool(1);
  const job = { folder, hash: HASH, name: "p", root: "/t", prefix: "/t/p", prefixes: [[HASH, "/t/p"]] } as const;
  const more = { compression: "none", diffId: digestOf(archive), allFiles: false, patchelf: undefined } as const;
  let taken = 0;
  const { directory } = await pool.place(
    async () => Readable.from(chunks, { objectMode: true }),
    { ...job, ...more, permissions: DEFAULT_PERMISSIONS },
    { onBytes: (count) => (taken += count) },
  );
  assert.ok(readFileSync(join(directory, "data")).equals(content));
  assert.equal(taken, archive.length);
  assert.ok(bytes.length <= Math.ceil(archive.length / (4 * 65_536)), `${bytes.length} messages`);
});
