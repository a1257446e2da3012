// Proves that the registry implements OCI distribution 1.1, with plain requests.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { type AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, mock, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hashSync } from "bcryptjs";
import { digestOf } from "../../lib/oci/digest.ts";
import { OCI_INDEX } from "../../lib/oci/mediatype.ts";
import { createRegistry } from "../../lib/serve/registry-server.ts";
import { systemClock } from "../../lib/util/time.ts";
import { code, pushByHand, read, upload } from "../support/by-hand.ts";
import { imageOf, someBytes } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
const image = imageOf("served", [5000]);
const blob = someBytes(10_000, "blob");
const digest = digestOf(blob);

before(async () => {
  registry = await startRegistry();
  await pushByHand(registry.url, "r", image, "v1");
  await upload(registry.url, "r", blob);
});
after(() => registry.close());

const none = `sha256:${"0".repeat(64)}`;
const asked: {
  name: string;
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
  status: number;
  code?: string;
  expect?: Record<string, string | RegExp>;
}[] = [
  {
    name: "the version check",
    path: "/v2/",
    status: 200,
    expect: { "docker-distribution-api-version": "registry/2.0" },
  },
  { name: "an address that is none", path: "/v1/x", status: 404 },
  {
    name: "a blob",
    path: `/v2/r/blobs/${digest}`,
    status: 200,
    expect: { "docker-content-digest": digest, "content-length": "10000", "accept-ranges": "bytes" },
  },
  {
    name: "a blob's head",
    method: "HEAD",
    path: `/v2/r/blobs/${digest}`,
    status: 200,
    expect: { "content-length": "10000" },
  },
  {
    name: "a part of a blob",
    path: `/v2/r/blobs/${digest}`,
    headers: { range: "bytes=10-19" },
    status: 206,
    expect: { "content-range": "bytes 10-19/10000", "content-length": "10" },
  },
  {
    name: "the end of a blob",
    path: `/v2/r/blobs/${digest}`,
    headers: { range: "bytes=-5" },
    status: 206,
    expect: { "content-range": "bytes 9995-9999/10000" },
  },
  {
    name: "a part beyond the end",
    path: `/v2/r/blobs/${digest}`,
    headers: { range: "bytes=10000-" },
    status: 416,
    code: "RANGE_INVALID",
  },
  { name: "several parts: the whole", path: `/v2/r/blobs/${digest}`, headers: { range: "bytes=0-1,3-4" }, status: 200 },
  {
    name: "a blob that is known already",
    path: `/v2/r/blobs/${digest}`,
    headers: { "if-none-match": `"${digest}"` },
    status: 304,
  },
  { name: "a blob that is not there", path: `/v2/r/blobs/${none}`, status: 404, code: "BLOB_UNKNOWN" },
  { name: "a digest that is none", path: "/v2/r/blobs/sha256:xyz", status: 400, code: "DIGEST_INVALID" },
  {
    name: "a path in place of a digest",
    path: "/v2/r/blobs/..%2f..%2foci-layout",
    status: 400,
    code: "DIGEST_INVALID",
  },
  { name: "a repository that is not there", path: "/v2/nope/tags/list", status: 404, code: "NAME_UNKNOWN" },
  { name: "a repository's name with capitals", path: "/v2/Nope/tags/list", status: 400, code: "NAME_INVALID" },
  { name: "a repository's name that climbs", path: "/v2/a/%2e%2e/b/tags/list", status: 404 },
  {
    name: "a repository named as a layout's own folder",
    method: "POST",
    path: "/v2/r/blobs/sha256/blobs/uploads/",
    status: 400,
    code: "NAME_INVALID",
  },
  {
    name: "a manifest by tag",
    path: "/v2/r/manifests/v1",
    status: 200,
    expect: { "content-type": image.descriptor.mediaType, "docker-content-digest": image.descriptor.digest },
  },
  {
    name: "a manifest by digest",
    method: "HEAD",
    path: `/v2/r/manifests/${image.descriptor.digest}`,
    status: 200,
    expect: { "content-length": String(image.descriptor.size) },
  },
  { name: "a manifest that is not there", path: "/v2/r/manifests/nope", status: 404, code: "MANIFEST_UNKNOWN" },
  { name: "a manifest under what is no tag", path: "/v2/r/manifests/.bad", status: 404, code: "MANIFEST_UNKNOWN" },
  {
    name: "a manifest put under what is no tag",
    method: "PUT",
    path: "/v2/r/manifests/.bad",
    headers: { "content-type": image.descriptor.mediaType },
    body: "{}",
    status: 400,
    code: "TAG_INVALID",
  },
  {
    name: "a manifest that is no JSON",
    method: "PUT",
    path: "/v2/r/manifests/x",
    headers: { "content-type": image.descriptor.mediaType },
    body: "<html>",
    status: 400,
    code: "MANIFEST_INVALID",
  },
  {
    name: "a manifest of an unknown type",
    method: "PUT",
    path: "/v2/r/manifests/x",
    headers: { "content-type": "text/plain" },
    body: "{}",
    status: 400,
    code: "MANIFEST_INVALID",
  },
  {
    name: "a manifest over the limit",
    method: "PUT",
    path: "/v2/r/manifests/x",
    headers: { "content-type": image.descriptor.mediaType },
    body: " ".repeat(5_000_000),
    status: 413,
    code: "TOO_LARGE",
  },
  {
    name: "a manifest whose blobs are not there",
    method: "PUT",
    path: "/v2/r/manifests/x",
    headers: { "content-type": image.descriptor.mediaType },
    body: Buffer.from(imageOf("elsewhere").bytes).toString(),
    status: 404,
    code: "MANIFEST_BLOB_UNKNOWN",
  },
  {
    name: "a manifest under another's digest",
    method: "PUT",
    path: `/v2/r/manifests/${none}`,
    headers: { "content-type": image.descriptor.mediaType },
    body: Buffer.from(image.bytes).toString(),
    status: 400,
    code: "DIGEST_INVALID",
  },
  {
    name: "a tag that must not be there yet",
    method: "PUT",
    path: "/v2/r/manifests/v1",
    headers: { "content-type": image.descriptor.mediaType, "if-none-match": "*" },
    body: Buffer.from(image.bytes).toString(),
    status: 412,
    code: "PRECONDITION_FAILED",
  },
  {
    name: "a tag that must be another",
    method: "PUT",
    path: "/v2/r/manifests/v1",
    headers: { "content-type": image.descriptor.mediaType, "if-match": `"${none}"` },
    body: Buffer.from(image.bytes).toString(),
    status: 412,
    code: "PRECONDITION_FAILED",
  },
  {
    name: "a tag that must be what it is",
    method: "PUT",
    path: "/v2/r/manifests/v1",
    headers: { "content-type": image.descriptor.mediaType, "if-match": `"${image.descriptor.digest}"` },
    body: Buffer.from(image.bytes).toString(),
    status: 201,
    expect: { location: /manifests\/sha256:/ },
  },
  { name: "referrers of nothing", path: `/v2/r/referrers/${none}`, status: 200, expect: { "content-type": OCI_INDEX } },
  {
    name: "referrers where no repository is",
    path: `/v2/nope/referrers/${none}`,
    status: 200,
    expect: { "content-type": OCI_INDEX },
  },
  {
    name: "referrers of one type",
    path: `/v2/r/referrers/${none}?artifactType=a/b`,
    status: 200,
    expect: { "oci-filters-applied": "artifactType" },
  },
  { name: "a method that is none", method: "POST", path: "/v2/r/manifests/v1", status: 405, code: "UNSUPPORTED" },
  {
    name: "an upload nobody opened",
    method: "PATCH",
    path: "/v2/r/blobs/uploads/nope",
    body: "x",
    status: 404,
    code: "BLOB_UPLOAD_UNKNOWN",
  },
  {
    name: "a mount of what is nowhere becomes an upload",
    method: "POST",
    path: `/v2/r/blobs/uploads/?mount=${none}&from=r`,
    status: 202,
    expect: { location: /uploads\// },
  },
  {
    name: "a mount",
    method: "POST",
    path: `/v2/other/blobs/uploads/?mount=${digest}&from=r`,
    status: 201,
    expect: { location: `/v2/other/blobs/${digest}` },
  },
  {
    name: "a mount from wherever it is",
    method: "POST",
    path: `/v2/third/blobs/uploads/?mount=${digest}`,
    status: 201,
  },
  { name: "tags", path: "/v2/r/tags/list?n=0", status: 200 },
  { name: "tags with nonsense for a number", path: "/v2/r/tags/list?n=many", status: 400 },
  { name: "the catalog", path: "/v2/_catalog", status: 200 },
];

for (const { name, method = "GET", path, headers = {}, body, status, code: expectedCode, expect = {} } of asked)
  test(`answers: ${name}`, async () => {
    const response = await fetch(`${registry.url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    assert.equal(response.status, status, await response.clone().text());
    if (expectedCode !== undefined) assert.equal(await code(response), expectedCode);
    for (const [header, value] of Object.entries(expect))
      if (typeof value === "string") assert.equal(response.headers.get(header), value);
      else assert.match(response.headers.get(header) ?? "", value);
    if (!response.bodyUsed) await response.body?.cancel();
  });

test("repositories stand below and above each other, in any order; not in a folder of other things", async () => {
  const names = ["deep/a/b", "deep/a", "deep", "deep/a/b/c"];
  for (const name of names) assert.equal((await pushByHand(registry.url, name, image, "v1")).status, 201, name);
  for (const name of names) assert.ok((await read(registry.url, name, image.blobs[0]?.bytes ?? blob)).length > 0);
  mkdirSync(join(registry.directory, "foreign", "sub"), { recursive: true });
  writeFileSync(join(registry.directory, "foreign", "sub", "notes.txt"), "mine");
  const refused = await fetch(`${registry.url}/v2/foreign/blobs/uploads/`, { method: "POST" });
  assert.deepEqual([refused.status, await code(refused)], [403, "DENIED"]);
  assert.deepEqual(readdirSync(join(registry.directory, "foreign")), ["sub"]);
});

test("tags are paged in order", async () => {
  const url = `${registry.url}/v2/paged`;
  for (const tag of ["c", "a", "b", "B"]) await pushByHand(registry.url, "paged", image, tag);
  const page = async (query: string) => {
    const response = await fetch(`${url}/tags/list${query}`);
    return [((await response.json()) as { tags: string[] }).tags, response.headers.get("link")];
  };
  assert.deepEqual(await page(""), [["B", "a", "b", "c"], null]);
  assert.deepEqual(await page("?n=2"), [["B", "a"], '</v2/paged/tags/list?n=2&last=a>; rel="next"']);
  assert.deepEqual(await page("?n=2&last=a"), [["b", "c"], null]);
  assert.deepEqual(await page("?n=0"), [[], null]);
});

test("a client that leaves in the middle of a download is no failure of the registry", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stave-serve-"));
  const failures: unknown[] = [];
  const inner = await createRegistry({ directory, clock: systemClock, onError: (error) => failures.push(error) });
  const handled: Promise<void>[] = [];
  const server = createServer((request, response) => handled.push(inner.handle(request, response)));
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const bytes = someBytes(20_000_000, "left");
    assert.equal((await upload(url, "r", bytes)).status, 201);
    const request = httpRequest(`${url}/v2/r/blobs/${digestOf(bytes)}`);
    request.on("error", () => {});
    request.on("response", (response) => response.once("data", () => request.destroy()));
    await new Promise((resolve) => request.on("close", resolve).end());
    await Promise.all(handled);
    assert.deepEqual(failures, []);
  } finally {
    server.close();
    await inner.close();
    rmSync(directory, { recursive: true });
  }
});

test("clients that leave before the answer leave no files open", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stave-serve-"));
  const inner = await createRegistry({ directory, clock: systemClock });
  const server = createServer((request, response) => {
    if (request.headers["x-left"] !== undefined) response.destroy();
    void inner.handle(request, response);
  });
  const filesOpen = (): number =>
    readdirSync("/proc/self/fd").filter((name) => linkOf(`/proc/self/fd/${name}`).includes("/blobs/sha256/")).length;
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const bytes = someBytes(1_000_000, "left early");
    assert.equal((await upload(url, "r", bytes)).status, 201);
    for (let client = 0; client < 20; client++) {
      const request = httpRequest(`${url}/v2/r/blobs/${digestOf(bytes)}`, { headers: { "x-left": "1" } });
      request.on("error", () => {});
      await new Promise((resolve) => request.on("close", resolve).end());
    }
    for (const deadline = Date.now() + 10_000; filesOpen() > 0 && Date.now() < deadline; ) await sleep(20);
    assert.equal(filesOpen(), 0);
  } finally {
    server.close();
    await inner.close();
    rmSync(directory, { recursive: true });
  }
});

// A descriptor may be closed by now.
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

test("a connection that the system cannot accept is reported, and does not end the registry", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stave-accept-"));
  const listening = mock.method(Server.prototype, "listen");
  const errors: unknown[] = [];
  const served = await createRegistry({ directory, onError: (error) => errors.push(error) });
  try {
    const { url } = await served.listen({ host: "127.0.0.1", port: 0 });
    const error = Object.assign(new Error("accept EMFILE"), { code: "EMFILE", syscall: "accept" });
    const server: unknown = listening.mock.calls[0]?.this;
    assert.ok(server instanceof Server);
    server.emit("error", error);
    assert.deepEqual(errors, [error]);
    assert.equal((await fetch(`${url}/v2/`)).status, 200);
  } finally {
    listening.mock.restore();
    await served.close();
    rmSync(directory, { recursive: true, force: true });
  }
});

test("read-only: reading goes on, nothing else", async () => {
  const closed = await startRegistry({ directory: registry.directory, readOnly: true });
  assert.equal((await fetch(`${closed.url}/v2/r/manifests/v1`)).status, 200);
  for (const [method, path] of [
    ["POST", "/v2/r/blobs/uploads/"],
    ["PUT", "/v2/r/manifests/x"],
    ["DELETE", "/v2/r/manifests/v1"],
    ["DELETE", `/v2/r/blobs/${digest}`],
  ] as const) {
    const response = await fetch(`${closed.url}${path}`, { method });
    assert.deepEqual([response.status, await code(response)], [403, "DENIED"], path);
  }
  await closed.close();
});

test("users: in with the right password only", async () => {
  const users = `# comment\nme:${hashSync("s3cret", 4)}\n\nother:${hashSync("x", 4)}\n`;
  const guarded = await startRegistry({ htpasswd: { text: users, path: "users" } });
  const ask = (text?: string) =>
    fetch(
      `${guarded.url}/v2/`,
      text === undefined ? {} : { headers: { authorization: `Basic ${Buffer.from(text).toString("base64")}` } },
    );
  const refused = await ask();
  assert.deepEqual([refused.status, refused.headers.get("www-authenticate")?.slice(0, 5)], [401, "Basic"]);
  for (const text of ["me:wrong", "nobody:s3cret", "me:", ":s3cret", "me", "other:s3cret"])
    assert.equal((await ask(text)).status, 401, text);
  for (const text of ["me:s3cret", "me:s3cret", "other:x"]) assert.equal((await ask(text)).status, 200, text);
  await guarded.close();
});

test("tags as parameters, and digests of another algorithm with a tag", async () => {
  const put = (reference: string, query: string) =>
    fetch(`${registry.url}/v2/r/manifests/${reference}${query}`, {
      method: "PUT",
      headers: { "content-type": image.descriptor.mediaType },
      body: Buffer.from(image.bytes),
    });
  const head = async (tag: string) =>
    (await fetch(`${registry.url}/v2/r/manifests/${tag}`, { method: "HEAD" })).headers.get("docker-content-digest");
  const strong = digestOf(image.bytes, "sha512");
  const several = await put(strong, "?tag=p1&tag=p2&tag=p3");
  assert.deepEqual([several.status, several.headers.get("oci-tag")], [201, "p1, p2, p3"]);
  for (const tag of ["p1", "p2", "p3"]) assert.equal(await head(tag), strong);
  assert.equal((await put("by-tag", `?digest=${strong}`)).status, 201);
  assert.equal(await head("by-tag"), strong);
  for (const [reference, query, expected] of [
    ["by-tag", `?digest=${none}`, "DIGEST_INVALID"],
    ["by-tag", "?digest=sha512:1", "DIGEST_INVALID"],
    [strong, `?digest=${image.descriptor.digest}`, "DIGEST_INVALID"],
    [strong, "?tag=.bad", "TAG_INVALID"],
    [strong, `?${Array.from({ length: 101 }, (_, at) => `tag=n${at}`).join("&")}`, "UNSUPPORTED"],
  ] as const)
    assert.equal(await code(await put(reference, query)), expected, query.slice(0, 80));
  assert.equal((await fetch(`${registry.url}/v2/r/manifests/n0`)).status, 404);
});

test("sparse: manifests of which something is missing are taken where that is allowed", async () => {
  const sparse = await startRegistry({ sparse: true });
  const put = await fetch(`${sparse.url}/v2/new/manifests/t`, {
    method: "PUT",
    headers: { "content-type": image.descriptor.mediaType },
    body: Buffer.from(image.bytes),
  });
  assert.equal(put.status, 201);
  assert.equal((await fetch(`${sparse.url}/v2/new/manifests/t`)).status, 200);
  await sparse.close();
});

test("a repository is there once a manifest was taken, and not after one was refused", async () => {
  const catalog = async () =>
    ((await (await fetch(`${registry.url}/v2/_catalog`)).json()) as { repositories: string[] }).repositories;
  const refused = await fetch(`${registry.url}/v2/never/manifests/t`, {
    method: "PUT",
    headers: { "content-type": image.descriptor.mediaType },
    body: Buffer.from(image.bytes),
  });
  assert.equal(await code(refused), "MANIFEST_BLOB_UNKNOWN");
  assert.equal((await fetch(`${registry.url}/v2/never/tags/list`)).status, 404);
  assert.ok(!readdirSync(registry.directory).includes("never"));
  await upload(registry.url, "begun", blob);
  assert.deepEqual(
    (await catalog()).filter((name) => ["never", "begun"].includes(name)),
    [],
  );
  assert.equal((await pushByHand(registry.url, "begun", image, "v1")).status, 201);
  assert.ok((await catalog()).includes("begun"));
});

test("a hundred wrong passwords hold up neither those who are known nor those who come in for the first time", async () => {
  const users = ["me", "other"].map((name) => `${name}:${hashSync("s3cret", 10)}`).join("\n");
  const guarded = await startRegistry({ htpasswd: { text: users, path: "users" } });
  const ask = async (text: string) => {
    const headers = { authorization: `Basic ${Buffer.from(text).toString("base64")}` };
    const response = await fetch(`${guarded.url}/v2/`, { headers });
    await response.arrayBuffer();
    return response.status;
  };
  assert.deepEqual([await ask("me:s3cret"), await ask("me:wrong")], [200, 401]);
  const statuses: number[] = [];
  const flood = Array.from({ length: 100 }, async (_, at) => statuses.push(await ask(`me:wrong ${at}`)));
  const checked = () => statuses.filter((status) => status === 401).length;
  // Cached results are cheap, whether right or wrong.
  for (let at = 0; at < 5; at++)
    assert.deepEqual([await ask("me:s3cret"), await ask("me:wrong")], [200, 401], `round ${at}`);
  assert.equal(await ask("other:s3cret"), 200);
  assert.ok(checked() < 50, `${checked()} wrong passwords were checked first`);
  // The queue is bounded, and refusals do not wait for it.
  while (!statuses.includes(429)) await sleep(5);
  await guarded.close();
  await Promise.allSettled(flood);
});

test("a hash that would take minutes to check is refused at the start", async () => {
  const text = `me:$2b$20$${"a".repeat(53)}`;
  await failsWith(
    "CONFIG_INVALID",
    startRegistry({ htpasswd: { text, path: "users" } }),
    /line 1 has a hash of cost 20/,
  );
});

test("a deleted manifest is gone by tag and digest; its blobs stay", async () => {
  const gone = imageOf("gone", [100]);
  await pushByHand(registry.url, "del", gone, "t");
  assert.equal(
    (await fetch(`${registry.url}/v2/del/manifests/${gone.descriptor.digest}`, { method: "DELETE" })).status,
    202,
  );
  for (const reference of ["t", gone.descriptor.digest])
    assert.equal((await fetch(`${registry.url}/v2/del/manifests/${reference}`)).status, 404);
  assert.equal((await fetch(`${registry.url}/v2/del/blobs/${gone.blobs[0]?.descriptor.digest}`)).status, 200);
  rmSync(join(registry.directory, "del"), { recursive: true });
});
