// Proves that the memory of a body is freed as it is sent, if it belongs to the request, and that nothing else changes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { createTransport } from "../../lib/http/transport.ts";
import { type Digest, Digester, digestOf } from "../../lib/oci/digest.ts";
import { giveAway } from "../../lib/util/free-chunks.ts";
import { systemClock } from "../../lib/util/time.ts";
import { someBytes } from "../support/content.ts";

const transport = createTransport({
  ...{ clock: systemClock, timeout: 300, minRate: 1_000_000 },
  retry: { attempts: 1, milliseconds: 1000 },
});
let server: Server;
let received: Digest | undefined;
before(async () => {
  server = createServer((request, response) => {
    const digester = new Digester();
    request.on("data", (chunk: Buffer) => digester.update(chunk));
    request.on("error", () => {});
    request.on("end", () => {
      received = digester.digest();
      response.end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(async () => {
  await transport.close();
  server.closeAllConnections();
  server.close();
});

const SIZES = [300_000, 100, 70_000, 256 * 1024, 256 * 1024, 256 * 1024, 1000];
const chunksOf = (): Buffer[] =>
  SIZES.map((size, at) => {
    const chunk = Buffer.allocUnsafeSlow(size);
    someBytes(size, String(at)).copy(chunk);
    return chunk;
  });
const send = (body: Readable, size: number): Promise<unknown> =>
  transport.request({
    ...{ method: "PUT", url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`) },
    ...{ headers: { "content-length": String(size) }, body: () => body, accept: [200], op: "store", subject: "it" },
    traffic: "upload",
  });
const total = SIZES.reduce((sum, size) => sum + size, 0);

for (const isGiven of [true, false])
  test(`chunks that ${isGiven ? "belong to the request are freed once they are sent" : "others may use stay"}`, async () => {
    const chunks = chunksOf();
    const digest = digestOf(Buffer.concat(chunks));
    const body = Readable.from(chunks, { objectMode: true });
    await send(isGiven ? giveAway(body) : body, total);
    assert.equal(received, digest);
    // What is small may still be in the buffer of the socket when the next chunk is asked for.
    const left = chunks.map(({ byteLength }) => byteLength);
    assert.deepEqual(left, isGiven ? SIZES.map((size) => (size > 64 * 1024 ? 0 : size)) : SIZES);
  });

test("a source of such chunks that is slow is not blamed on the server", async () => {
  const chunks = chunksOf();
  const digest = digestOf(Buffer.concat(chunks));
  async function* slowly(): AsyncIterable<Buffer> {
    yield* chunks.slice(0, 2);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    yield* chunks.slice(2);
  }
  await send(giveAway(Readable.from(slowly(), { objectMode: true })), total);
  assert.equal(received, digest);
});

test("a source that fails ends the request, and is closed", async () => {
  async function* failing(): AsyncIterable<Buffer> {
    yield* chunksOf().slice(0, 2);
    await Promise.reject(new Error("the disk is gone"));
  }
  const body = giveAway(Readable.from(failing(), { objectMode: true }));
  await assert.rejects(send(body, total), /the disk is gone/);
  assert.equal(body.destroyed, true);
});
