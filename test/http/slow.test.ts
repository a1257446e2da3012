// Proves that every wait is bounded and reported, with slow and silent registries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { bytesSource, readAll } from "../../lib/util/stream.ts";
import { startStave, stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { type Fault, startRegistry, type TestRegistry } from "../support/registry.ts";

const BLOB = blobOf(someBytes(200_000, "slow"));
const IMAGE = imageOf("slow", [1000]);
const retry = { attempts: 2, milliseconds: 60_000 };

let registry: TestRegistry;
/** Accepts connections, and never responds. */
let mute: TcpServer;
let muteHost: string;

before(async () => {
  registry = await startRegistry();
  const client = connect(registry.host, "r");
  await pushImage(client.target, IMAGE, "tag");
  await client.target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes));
  await client.close();
  mute = createTcpServer((socket) => socket.on("error", () => {}).resume());
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  muteHost = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
});

after(async () => {
  mute.close();
  await registry.close();
});

function faulty(fault: Fault, method = "GET"): void {
  registry.rules.splice(0, registry.rules.length, { method, path: /blobs|manifests|tags/, fault });
  registry.requests.length = 0;
}

test("a byte now and then does not keep a download alive", async () => {
  faulty({ drip: 20 });
  const client = connect(registry.host, "r", { timeout: 400, minRate: 1000, retry });
  const read = async () => readAll(await client.target.fetchBlob(BLOB.descriptor), 1e6, "blob");
  const error = await failsWith("TIMEOUT", read());
  assert.match(error.message, /less than 1000 bytes\/s/);
  assert.match(error.hint ?? "", /`minRate: 0`/);
  assert.equal(registry.count("GET"), 2);
  await client.close();
});

test("a manifest, a page of tags: slow ones end, too, also where any rate is allowed", async () => {
  for (const minRate of [1000, 0])
    for (const what of ["manifest", "tags"] as const) {
      faulty({ drip: 30 });
      const client = connect(registry.host, "r", { timeout: 200, minRate, retry });
      registry.rules[0] = { ...registry.rules[0], fault: what === "tags" ? { drip: 150 } : { drip: 30 } };
      const work = what === "tags" ? Array.fromAsync(client.target.tags()) : client.target.fetchManifest("tag");
      await failsWith("TIMEOUT", work);
      await client.close();
    }
});

test("a reader that is slow itself is not taken for a slow network", async () => {
  faulty({ delay: 0 });
  const big = blobOf(someBytes(6_000_000, "big"));
  const client = connect(registry.host, "r", { timeout: 300, minRate: 1_000_000, retry: { attempts: 1 } });
  await client.target.pushBlob(big.descriptor, bytesSource(big.bytes));
  let read = 0;
  for await (const chunk of await client.target.fetchBlob(big.descriptor)) {
    if (read === 0) await new Promise((resolve) => setTimeout(resolve, 1000));
    read += chunk.length;
  }
  assert.equal(read, 6_000_000);
  await client.close();
});

test("an upload that is not taken ends", async () => {
  const big = blobOf(someBytes(20_000_000, "up"));
  faulty("slow reader", "PUT");
  const client = connect(registry.host, "up", { timeout: 400, minRate: 1000, retry });
  await failsWith("TIMEOUT", client.target.pushBlob(big.descriptor, bytesSource(big.bytes)));
  await client.close();
});

test("a source that is slow is not blamed on the registry", async () => {
  registry.rules.length = 0;
  const client = connect(registry.host, "up", { timeout: 300, minRate: 1_000_000, retry: { attempts: 1 } });
  const source = {
    size: 200_000,
    open: () =>
      Readable.from(
        (async function* () {
          yield BLOB.bytes.subarray(0, 1000);
          await new Promise((resolve) => setTimeout(resolve, 1200));
          yield BLOB.bytes.subarray(1000);
        })(),
        { objectMode: false },
      ),
  };
  assert.equal(await client.target.pushBlob(BLOB.descriptor, source, { isNew: true }), "pushed");
  await client.close();
});

test("an abort ends a wait for a connection at once", async () => {
  const abort = new AbortController();
  // The TLS handshake never starts, so the request has no connection yet.
  const client = connect(muteHost, "r", { scheme: "https", timeout: 60_000 });
  const running = client.target.fetchManifest("tag", { signal: abort.signal });
  setTimeout(() => abort.abort(new Error("enough")), 50);
  await assert.rejects(running, /enough/);
  await client.close();
});

test("the hint of a connection that is not there in time names its own limit", async () => {
  const client = connect(muteHost, "r", { scheme: "https", connectTimeout: 100, retry: { attempts: 1 } });
  const error = await failsWith("TIMEOUT", client.target.fetchManifest("tag"));
  assert.match(error.hint ?? "", /^raise `connectTimeout`/);
  await client.close();
  const args = ["tags", `oci://${muteHost}/r`, "--connect-timeout", "1", "--retries", "0"];
  assert.match((await stave(args)).stderr, /hint: raise --connect-timeout SECONDS/);
});

test("every wait is told of, in one line for a host, and again when it has doubled", async () => {
  const told: string[] = [];
  const options = { timeout: 1500, tellAfter: 100, retry: { attempts: 1 } };
  const onWait = (milliseconds: number, reason: string) => {
    assert.ok(milliseconds >= 100);
    told.push(reason);
  };
  const waits: { fault: Fault; says: RegExp }[] = [
    { fault: "hang", says: /has not answered yet/ },
    { fault: "stall", says: /sends \d+ bytes\/s/ },
    { fault: { drip: 100 }, says: /sends \d+ bytes\/s/ },
  ];
  for (const { fault, says } of waits) {
    faulty(fault);
    told.length = 0;
    const client = connect(registry.host, "r", { ...options, onWait });
    const fetch = () => client.target.fetchManifest("tag");
    await Promise.all([failsWith("TIMEOUT", fetch()), failsWith("TIMEOUT", fetch()), failsWith("TIMEOUT", fetch())]);
    // On a busy machine, the registry may take a moment to begin with its answer.
    const first = told.find((line) => !/has not answered yet/.test(line)) ?? told[0];
    assert.match(first ?? "", says);
    assert.ok(told.length <= 5, `one line, not a flood: ${told.join("\n")}`);
    await client.close();
  }
  told.length = 0;
  const client = connect(muteHost, "r", { ...options, scheme: "https", onWait });
  await failsWith("TIMEOUT", client.target.fetchManifest("tag"));
  assert.match(told[0] ?? "", /no connection to .* yet/);
  await client.close();
});

test("the command tells what it waits for from the fifth second on, and ends in time; Ctrl-C ends it at once", async () => {
  faulty("hang");
  const from = `oci+http://${registry.host}/r`;
  const ran = await stave(["tags", from, "--timeout", "7", "--retries", "0"]);
  assert.equal(ran.status, 4, ran.stderr);
  assert.match(ran.stderr, /waiting for 5\.\d s: 127\.0\.0\.1:\d+ has not answered yet/);
  assert.match(ran.stderr, /\[TIMEOUT\]/);
  const child = startStave(["tags", `oci://${muteHost}/r`]);
  await once(mute, "connection");
  child.kill("SIGINT");
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 130);
  registry.rules.length = 0;
});

test("one patience for an upload in chunks: its loops do not multiply", async () => {
  const big = someBytes(20_000_000, "chunks");
  registry.rules.splice(0, registry.rules.length, { method: "PATCH", fault: "reset" });
  registry.requests.length = 0;
  const client = connect(registry.host, "chunks", { retry: { attempts: 5 } });
  await failsWith("NETWORK", client.target.pushStream(bytesSource(big).open() as never, "x/y"));
  assert.equal(registry.count("PATCH"), 5);
  registry.rules.push({ method: "GET", path: /uploads/, fault: "reset" });
  registry.requests.length = 0;
  await failsWith("NETWORK", client.target.pushStream(bytesSource(big).open() as never, "x/y"));
  assert.ok(registry.requests.length <= 8, `${registry.requests.length} requests`);
  // A monolithic upload that a proxy forces into chunks has the deepest nesting: upload, chunk, status, each with a
  // loop.
  registry.rules.push({ method: "PUT", path: /uploads/, times: 1, fault: { status: 413 } });
  registry.requests.length = 0;
  const blob = blobOf(big);
  await failsWith("NETWORK", client.target.pushBlob(blob.descriptor, bytesSource(big), { isNew: true }));
  assert.ok(registry.requests.length <= 12, `${registry.requests.length} requests`);
  registry.rules.length = 0;
  await client.close();
});

test("a host that refuses connections is given up soon; an unknown one at once", async () => {
  const closed = createTcpServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  const client = connect(`127.0.0.1:${port}`, "r");
  const error = await failsWith("NETWORK", client.target.fetchManifest("tag"));
  assert.equal(error.attempts, 3);
  assert.match(error.message, /refused the connection/);
  await client.close();
  const unknown = connect("no-such-host.invalid", "r", { retry: { attempts: 3 } });
  await failsWith("NETWORK", unknown.target.fetchManifest("tag"));
  await unknown.close();
});

test("lists without an end: by bytes, by pages, by a page that comes again", async () => {
  registry.rules.splice(0, registry.rules.length, { path: /tags\/list/, fault: { endlessPages: 5_000_000 } });
  registry.requests.length = 0;
  const client = connect(registry.host, "r");
  const error = await failsWith("TOO_LARGE", Array.fromAsync(client.target.tags()));
  assert.match(error.message, /more than 67108864 bytes/);
  assert.ok(registry.count("GET", /tags/) <= 15);
  // The same page at ever new addresses.
  let page = 0;
  registry.requests.length = 0;
  const next = () => `</v2/r/tags/list?n=${page++}>; rel="next"`;
  registry.rules.splice(0, registry.rules.length, {
    path: /tags\/list/,
    get fault(): Fault {
      return { status: 200, headers: { link: next() }, body: '{"name":"r","tags":["a"]}' };
    },
  });
  const again = await failsWith("REGISTRY_ERROR", Array.fromAsync(client.target.tags()));
  assert.match(again.message, /more than 100 pages with almost nothing new/);
  assert.ok(registry.count("GET", /tags/) <= 110);
  registry.rules.length = 0;
  await client.close();
});
