// Proves that uploads to the registry work: in one request, in chunks, interrupted and resumed, cancelled (OCI
// distribution 1.1, "Pushing blobs").
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { digestOf } from "../../lib/oci/digest.ts";
import { createRegistry } from "../../lib/serve/registry-server.ts";
import { systemClock } from "../../lib/util/time.ts";
import { code, read } from "../support/by-hand.ts";
import { someBytes } from "../support/content.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
const none = `sha256:${"0".repeat(64)}`;

before(async () => {
  registry = await startRegistry({ takesWholePosts: true });
});
after(() => registry.close());

/** Sends the start of a body, waits until the registry has it, and breaks the connection. */
async function breakOff(
  upload: string,
  query: string,
  method: string,
  headers: Record<string, string>,
  part: Uint8Array,
): Promise<void> {
  const request = httpRequest(upload + query, { method, headers });
  request.on("error", () => {});
  request.write(part);
  while ((await fetch(upload)).headers.get("range") !== `0-${part.byteLength - 1}`);
  request.destroy();
}

/** Retries while the interrupted request still counts as active. */
async function whenFree(ask: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const response = await ask();
    if (response.status !== 409) return response;
    await response.arrayBuffer();
  }
}

test("an upload in one request", async () => {
  const bytes = someBytes(3000, "single");
  const response = await fetch(`${registry.url}/v2/r/blobs/uploads/?digest=${digestOf(bytes)}`, {
    method: "POST",
    body: Buffer.from(bytes),
  });
  assert.deepEqual([response.status, response.headers.get("docker-content-digest")], [201, digestOf(bytes)]);
  const wrong = await fetch(`${registry.url}/v2/r/blobs/uploads/?digest=${none}`, {
    method: "POST",
    body: Buffer.from(bytes),
  });
  assert.deepEqual([wrong.status, await code(wrong)], [400, "DIGEST_INVALID"]);
});

test("an upload in chunks: in order only, asked for its state, cancelled", async () => {
  const bytes = Buffer.from(someBytes(3000, "chunks"));
  const opened = await fetch(`${registry.url}/v2/r/blobs/uploads/`, { method: "POST" });
  const at = `${registry.url}${opened.headers.get("location")}`;
  const patch = (from: number, to: number) =>
    fetch(at, { method: "PATCH", headers: { "content-range": `${from}-${to - 1}` }, body: bytes.subarray(from, to) });
  const first = await patch(0, 1000);
  assert.deepEqual([first.status, first.headers.get("range")], [202, "0-999"]);
  const hole = await patch(2000, 3000);
  assert.deepEqual([hole.status, await code(hole), hole.headers.get("range")], [416, "RANGE_INVALID", "0-999"]);
  const short = await fetch(at, {
    method: "PATCH",
    headers: { "content-range": "1000-1999" },
    body: bytes.subarray(1000, 1500),
  });
  assert.equal(await code(short), "SIZE_INVALID");
  const state = await fetch(at);
  assert.deepEqual([state.status, state.headers.get("range")], [204, "0-999"]);
  assert.equal((await patch(1000, 2000)).status, 202);
  const done = await fetch(`${at}?digest=${digestOf(bytes)}`, {
    method: "PUT",
    headers: { "content-range": "2000-2999" },
    body: bytes.subarray(2000),
  });
  assert.equal(done.status, 201);
  assert.deepEqual(await read(registry.url, "r", bytes), bytes);
  assert.equal((await fetch(at)).status, 404);
  const other = await fetch(`${registry.url}/v2/r/blobs/uploads/`, { method: "POST" });
  const away = `${registry.url}${other.headers.get("location")}`;
  assert.equal((await fetch(away, { method: "DELETE" })).status, 204);
  assert.equal((await fetch(away)).status, 404);
});

test("what is sent again after a broken connection has the right bytes, not only the right digest", async () => {
  const bytes = Buffer.from(someBytes(3_000_000, "broken off"));
  const chunk = { "content-length": "2000000", "content-range": "0-1999999" };
  const whole = { "content-length": "3000000" };
  const open = async (name: string) => {
    const opened = await fetch(`${registry.url}/v2/${name}/blobs/uploads/`, { method: "POST" });
    return `${registry.url}${opened.headers.get("location")}`;
  };
  const chunked = await open("broken-chunk");
  await breakOff(chunked, "", "PATCH", chunk, bytes.subarray(0, 1_500_000));
  const body = bytes.subarray(0, 2_000_000);
  const again = await whenFree(() => fetch(chunked, { method: "PATCH", headers: chunk, body }));
  assert.deepEqual([again.status, again.headers.get("range")], [202, "0-1999999"]);
  const rest = bytes.subarray(2_000_000);
  assert.equal((await fetch(`${chunked}?digest=${digestOf(bytes)}`, { method: "PUT", body: rest })).status, 201);
  assert.ok((await read(registry.url, "broken-chunk", bytes)).equals(bytes));

  const single = await open("broken-put");
  const query = `?digest=${digestOf(bytes)}`;
  await breakOff(single, query, "PUT", whole, bytes.subarray(0, 1_500_000));
  assert.equal((await whenFree(() => fetch(single + query, { method: "PUT", body: bytes }))).status, 201);
  assert.ok((await read(registry.url, "broken-put", bytes)).equals(bytes));
});

test("a single request that takes longer than uploads may lie untouched is not given up", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stave-serve-"));
  let hours = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + hours * 3_600_000 };
  const server = await createRegistry({ directory, clock });
  try {
    const { url } = await server.listen({ host: "127.0.0.1", port: 0 });
    const bytes = someBytes(600_000, "slow");
    const request = httpRequest(`${url}/v2/r/blobs/uploads/?digest=${digestOf(bytes)}`, { method: "POST" });
    const status = new Promise((resolve, reject) => {
      request.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject);
    });
    request.write(bytes.subarray(0, 300_000));
    const folder = join(directory, "r", ".tmp");
    // Files that are being renamed appear and disappear here.
    const hasBytes = (name: string) => (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) >= 200_000;
    while (!(existsSync(folder) && readdirSync(folder).some(hasBytes))) await setImmediate();
    // An expired upload shows that unused ones are cancelled.
    const other = () => fetch(`${url}/v2/r/blobs/uploads/`, { method: "POST" });
    const forgotten = `${url}${(await other()).headers.get("location")}`;
    hours = 2;
    await other();
    assert.equal((await fetch(forgotten)).status, 404);
    request.end(bytes.subarray(300_000));
    assert.equal(await status, 201);
  } finally {
    await server.close();
    rmSync(directory, { recursive: true });
  }
});

test("an upload belongs to its repository", async () => {
  const opened = await fetch(`${registry.url}/v2/r/blobs/uploads/`, { method: "POST" });
  const id = opened.headers.get("location")?.split("/").at(-1);
  assert.equal((await fetch(`${registry.url}/v2/other/blobs/uploads/${id}`)).status, 404);
});

test("sha512", async () => {
  const bytes = someBytes(2000, "512");
  const strong = digestOf(bytes, "sha512");
  const opened = await fetch(`${registry.url}/v2/r/blobs/uploads/`, { method: "POST" });
  const put = await fetch(`${registry.url}${opened.headers.get("location")}?digest=${strong}`, {
    method: "PUT",
    body: Buffer.from(bytes),
  });
  assert.equal(put.status, 201);
  assert.equal((await fetch(`${registry.url}/v2/r/blobs/${strong}`)).status, 200);
});

test("a client that goes away in the middle leaves nothing", async () => {
  const opened = await fetch(`${registry.url}/v2/gone/blobs/uploads/`, { method: "POST" });
  const path = `${opened.headers.get("location")}?digest=${none}`;
  await new Promise<void>((resolve) => {
    const request = httpRequest(`${registry.url}${path}`, { method: "PUT", headers: { "content-length": 1e6 } });
    request.on("error", () => resolve());
    request.write(Buffer.alloc(1000), () => request.destroy());
  });
  await fetch(`${registry.url}${opened.headers.get("location")}`, { method: "DELETE" });
  const left = readdirSync(join(registry.directory, "gone"), { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.parentPath.endsWith(".tmp"),
  );
  assert.deepEqual(left, []);
});

test("a client may have 200 uploads open; finished and cancelled ones do not count", async () => {
  const server = await startRegistry();
  const open = () => fetch(`${server.url}/v2/r/blobs/uploads/`, { method: "POST" });
  const opened: string[] = [];
  for (let at = 0; at < 200; at++) opened.push(`${server.url}${(await open()).headers.get("location")}`);
  const refused = await open();
  assert.deepEqual([refused.status, await code(refused)], [429, "TOOMANYREQUESTS"]);
  assert.ok(refused.headers.has("retry-after"));
  const [first = "", second = ""] = opened;
  await fetch(first, { method: "DELETE" });
  const empty = digestOf("");
  assert.equal((await fetch(`${second}?digest=${empty}`, { method: "PUT" })).status, 201);
  assert.deepEqual([(await open()).status, (await open()).status, (await open()).status], [202, 202, 429]);
  await server.close();
});
