// Proves that the rest of a large download comes in pieces where one connection is slow, and that nothing is lost if
// the server serves no ranges, wrong ones, or fails in the middle.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { digestOf } from "../../lib/oci/digest.ts";
import { connect } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";

const MIB = 1024 * 1024;
const CONTENT = Buffer.alloc(96 * MIB);
for (let at = 0; at < CONTENT.length; at += 4096) CONTENT.writeUInt32LE(at, at);
const BLOB = { mediaType: "application/x", digest: digestOf(CONTENT), size: CONTENT.length };

const closing: (() => Promise<unknown> | unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

interface Asked {
  readonly range: string | undefined;
}

/** How the server answers the request for a range, counted from 1; true if it did. */
type Odd = (response: ServerResponse, from: number, end: number, number: number) => boolean;

interface SlowServer {
  readonly host: string;
  readonly asked: Asked[];
  /** The responses with ranges that are open now, and the most there were. */
  readonly open: { now: number; most: number };
}

/** A registry with one blob, whose connections are slow. */
async function slowServer(odd: Odd = () => false, pause = 30): Promise<SlowServer> {
  const asked: Asked[] = [];
  const open = { now: 0, most: 0 };
  const send = async (response: ServerResponse, from: number, end: number): Promise<void> => {
    let at = from;
    for (; at + MIB < end && !response.destroyed; at += MIB) {
      response.write(CONTENT.subarray(at, at + MIB));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    response.end(CONTENT.subarray(at, end));
  };
  const server = createServer((request: IncomingMessage, response) => {
    const { range } = request.headers;
    asked.push({ range });
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    if (first === undefined) {
      response.writeHead(200, { "content-length": CONTENT.length });
      return void send(response, 0, CONTENT.length);
    }
    const [from, end] = [Number(first), Number(last) + 1];
    open.most = Math.max(open.most, ++open.now);
    response.once("close", () => open.now--);
    if (odd(response, from, end, asked.length - 1)) return;
    response.writeHead(206, {
      "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}`,
      "content-length": end - from,
    });
    return void send(response, from, end);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked, open };
}

/** Downloads the blob; returns the pauses before further attempts. */
async function download(host: string): Promise<number[]> {
  const client = connect(host, "r");
  closing.push(() => client.close());
  let read = 0;
  for await (const chunk of await client.target.fetchBlob(BLOB)) read += chunk.length;
  assert.equal(read, CONTENT.length);
  return client.clock.slept;
}

const piecesOf = (asked: readonly Asked[]): Asked[] => asked.filter(({ range }) => range !== undefined);

test("a large download over slow connections comes in pieces, each byte once", async () => {
  const { host, asked } = await slowServer();
  await download(host);
  const ranges = piecesOf(asked).map(({ range }) => (range ?? "").slice(6).split("-").map(Number));
  assert.equal(asked.length - ranges.length, 1);
  assert.ok(ranges.length >= 16, `${ranges.length} pieces`);
  ranges.sort(([a = 0], [b = 0]) => a - b);
  for (const [at, [from]] of ranges.entries()) if (at > 0) assert.equal(from, (ranges[at - 1]?.[1] ?? 0) + 1);
  assert.equal(ranges.at(-1)?.[1], CONTENT.length - 1);
});

test("a fast connection is left alone", async () => {
  const { host, asked } = await slowServer(undefined, 0);
  await download(host);
  // A very busy machine may be slow here, too.
  assert.ok(asked.length === 1 || asked.length > 16, `${asked.length} requests`);
});

test("no more than two downloads come in pieces at once", async () => {
  const { host, open } = await slowServer(undefined, 50);
  const client = connect(host, "r");
  closing.push(() => client.close());
  const one = async (): Promise<number> => {
    let size = 0;
    for await (const chunk of await client.target.fetchBlob(BLOB)) size += chunk.length;
    return size;
  };
  assert.deepEqual(await Promise.all([one(), one(), one()]), [CONTENT.length, CONTENT.length, CONTENT.length]);
  assert.ok(open.most > 0 && open.most <= 2 * 4, `${open.most} pieces at once`);
});

const ODD: Record<string, Odd> = {
  "serves no ranges": (response) => {
    response.writeHead(200, { "content-length": CONTENT.length });
    response.write(CONTENT.subarray(0, MIB));
    return true;
  },
  "refuses ranges": (response) => {
    response.writeHead(416).end();
    return true;
  },
  "serves another range": (response, from, end) => {
    response.writeHead(206, { "content-range": `bytes ${from + 1}-${end}/${CONTENT.length}` });
    response.end(CONTENT.subarray(from + 1, end + 1));
    return true;
  },
  "breaks off in the third piece": (response, from, end, number) => {
    if (number !== 3) return false;
    response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}` });
    response.write(CONTENT.subarray(from, from + MIB), () => response.destroy());
    return true;
  },
  "asks for fewer requests": (response) => {
    response.writeHead(429, { "retry-after": "600" }).end();
    return true;
  },
  "never answers a range": () => true,
  "sends the first piece very slowly": (response, from, end) => {
    response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}` });
    response.write(CONTENT.subarray(from, from + 2000));
    return true;
  },
  "sends the fifth piece very slowly": (response, from, end, number) => {
    if (number !== 5) return false;
    response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}` });
    response.write(CONTENT.subarray(from, from + 2000));
    return true;
  },
  "sends a piece that is too long": (response, from, end, number) => {
    if (number !== 2) return false;
    response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}` });
    response.end(CONTENT.subarray(from, end + 1));
    return true;
  },
};
for (const [what, odd] of Object.entries(ODD))
  test(`a server that ${what}`, { timeout: 60_000 }, async () => {
    const { host } = await slowServer(odd);
    const waits = await download(host);
    // At most one pause, before the one connection goes on.
    assert.ok(waits.length <= 1, `${waits}`);
  });

test("a changed byte in a piece is noticed", async () => {
  let changed = 0;
  const { host } = await slowServer((response, from, end, number) => {
    if (number < 3) return false;
    const bytes = Buffer.from(CONTENT.subarray(from, end));
    bytes[7] = 1;
    changed++;
    response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${CONTENT.length}` });
    response.end(bytes);
    return true;
  });
  await failsWith("DIGEST_MISMATCH", download(host));
  assert.ok(changed > 0);
});

test("a reader that leaves ends all requests", async () => {
  const { host, open } = await slowServer();
  const client = connect(host, "r");
  let read = 0;
  for await (const chunk of await client.target.fetchBlob(BLOB)) {
    read += chunk.length;
    if (read > 40 * MIB) break;
  }
  while (open.now > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await client.close();
});
