// Proves that a server has pages only if it is asked to, that they need the same login as pulling, say what browsers
// may do, and follow the index.
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hashSync } from "bcryptjs";
import type { CatalogueStart } from "../../lib/catalogue/catalogue-data.ts";
import { ServedCatalogue } from "../../lib/catalogue/served-catalogue.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { Refusal } from "../../lib/serve/refusal.ts";
import { createRegistry, type RegistryOptions } from "../../lib/serve/registry-server.ts";
import { Repositories } from "../../lib/serve/repositories.ts";
import type { PageRepositories } from "../../lib/serve/web-pages.ts";
import { systemClock } from "../../lib/util/time.ts";
import { madeSpec } from "../support/caches.ts";
import { indexedLayout, indexOf, layoutWith } from "../support/catalogue.ts";
import { failsWith } from "../support/errors.ts";
import { temporaryFolder } from "../support/tree.ts";

const one = madeSpec("one", "1");
const two = madeSpec("two", "2");

interface Served extends AsyncDisposable {
  readonly url: string;
  get(path: string, init?: RequestInit): Promise<Response>;
}

async function serve(directory: string, more: Partial<RegistryOptions> = {}): Promise<Served> {
  const registry = await createRegistry({ directory, pages: (all) => new ServedCatalogue(all), ...more });
  const { url } = await registry.listen({ host: "127.0.0.1", port: 0 });
  return {
    url,
    get: (path, init) => fetch(url + path, { redirect: "manual", ...init }),
    [Symbol.asyncDispose]: () => registry.close(),
  };
}

const asBrowser = { headers: { accept: "text/html,*/*;q=0.8" } };

test("without pages, a browser gets what every client gets", async () => {
  await using server = await serve(await indexedLayout([one]), { pages: undefined });
  for (const path of ["/", "/web", "/web/", "/web/catalogue.json"])
    assert.equal((await server.get(path, asBrowser)).status, 404);
});

test("who opens the address of the server is led to the pages", async () => {
  await using server = await serve(await indexedLayout([one]));
  const chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
  for (const method of ["GET", "HEAD"])
    for (const accept of [chromium, "text/html", "*/*"])
      for (const path of ["", "/", "/?a=b"]) {
        const led = await server.get(path, { method, headers: { accept } });
        assert.deepEqual([led.status, led.headers.get("location")], [302, "/web/"], `${method} ${path} ${accept}`);
      }
  assert.equal((await server.get("/", { method: "POST" })).status, 404);
  assert.equal((await server.get("/web")).headers.get("location"), "/web/");
  assert.equal((await server.get("/v2/")).status, 200);
  assert.equal((await server.get("/web/", { method: "POST" })).status, 405);
});

test("pages have a strict policy, are compressed, and are not sent again", async () => {
  await using server = await serve(await indexedLayout([one]));
  const page = await server.get("/web/");
  assert.match(page.headers.get("content-type") ?? "", /^text\/html; charset=utf-8$/);
  assert.match(page.headers.get("content-security-policy") ?? "", /^default-src 'none';.*frame-ancestors 'none'$/);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  const text = await page.text();
  const [, script = ""] = /src="([^"]+)"/.exec(text) ?? [];
  const asset = await server.get(`/web/${script}`);
  assert.match(asset.headers.get("cache-control") ?? "", /^private, max-age=\d+, immutable$/);
  assert.equal(asset.headers.get("content-encoding"), "gzip");
  const etag = page.headers.get("etag") ?? "";
  assert.equal((await server.get("/web/", { headers: { "if-none-match": etag } })).status, 304);
  const head = await server.get("/web/", { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
});

test("pages need the same login as pulling", async () => {
  const htpasswd = { text: `me:${hashSync("s3cret", 4)}`, path: "users" };
  await using server = await serve(await indexedLayout([one]), { htpasswd });
  for (const path of ["/", "/web/", "/web/catalogue.json", "/web/plain/1.html"]) {
    const refused = await server.get(path, asBrowser);
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get("www-authenticate") ?? "", /^Basic /);
    assert.ok(!(await refused.text()).includes("one"));
  }
  const authorization = `Basic ${Buffer.from("me:s3cret").toString("base64")}`;
  assert.equal((await server.get("/web/catalogue.json", { headers: { authorization } })).status, 200);
});

test("the catalogue follows the index, and documents of an earlier one are gone", async () => {
  const folder = await indexedLayout([one]);
  await using server = await serve(folder);
  const start = async () => (await (await server.get("/web/catalogue.json")).json()) as CatalogueStart;
  const first = await start();
  assert.deepEqual(first.packages, [["one", 1, "1"]]);
  assert.equal((await server.get(`/web/${first.data}/packages/one.json`)).status, 200);
  await indexedLayout([one, two], folder);
  const second = await start();
  assert.deepEqual(second.packages, [
    ["one", 1, "1"],
    ["two", 1, "2"],
  ]);
  assert.equal((await server.get(`/web/${first.data}/packages/one.json`)).status, 404);
  assert.equal((await server.get(`/web/${second.data}/details/two-0.json`)).status, 200);
});

test("each repository of a folder has a catalogue, and the folder a list", async () => {
  const folder = temporaryFolder();
  await indexedLayout([one], join(folder, "team/cache"));
  await indexedLayout([two], join(folder, "data"));
  await using server = await serve(folder);
  assert.match(await (await server.get("/web/")).text(), /href="data\/"[\s\S]*href="team\/cache\/"/);
  assert.equal((await server.get("/web/team/cache")).headers.get("location"), "/web/team/cache/");
  for (const [name, hash] of [
    ["team/cache", one.root.hash],
    ["data", two.root.hash],
  ]) {
    assert.equal((await server.get(`/web/${name}/`)).status, 200);
    const start = await (await server.get(`/web/${name}/catalogue.json`)).json();
    const { data, address } = start as CatalogueStart;
    assert.deepEqual(address, { kind: "served", repository: name });
    const shard = await server.get(`/web/${name}/${data}/hashes/${hash?.slice(0, 1)}.json`);
    assert.deepEqual(await shard.json(), [[hash, 0]]);
  }
  for (const path of [
    "none/",
    "team/",
    "data/x",
    "../v2/",
    "team/cache/data/none/packages/x.json",
    "%2e%2e/x",
    "team%2fcache/",
  ])
    assert.equal((await server.get(`/web/${path}`)).status, path === "../v2/" ? 200 : 404, path);
});

test("a broken repository is no reason for others to fail", async () => {
  const folder = temporaryFolder();
  await indexedLayout([one], join(folder, "good"));
  const bad = await indexedLayout([two], join(folder, "bad"));
  for (const name of readdirSync(join(bad, "blobs/sha256"))) writeFileSync(join(bad, "blobs/sha256", name), "x");
  await using server = await serve(folder);
  assert.ok((await server.get("/web/bad/catalogue.json")).status >= 400);
  assert.equal((await server.get("/web/good/catalogue.json")).status, 200);
});

// The repositories of a folder, and how many blobs were read.
async function counted(folder: string): Promise<{ all: PageRepositories; reads: number; close(): Promise<void> }> {
  const repositories = await Repositories.open(folder, systemClock);
  const counting = { reads: 0, close: () => repositories.close() };
  const all: PageRepositories = {
    single: undefined,
    catalog: () => repositories.catalog(),
    get: async (name) => {
      const target = await repositories.get(name, false);
      return new Proxy(target, {
        get(_, key) {
          if (key === "fetchBlob" || key === "openBlob") counting.reads++;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
  return Object.assign(counting, { all });
}

test("an index is read once, until the indexes of others take its place", async () => {
  const folder = temporaryFolder();
  for (const name of ["a", "b"]) await indexedLayout([one], join(folder, name));
  const counting = await counted(folder);
  try {
    const ample = new ServedCatalogue(counting.all);
    const first = await ample.page("a/catalogue.json");
    const each = counting.reads;
    assert.ok(each > 0);
    await ample.page("b/catalogue.json");
    assert.equal(await ample.page("a/catalogue.json"), first);
    assert.equal(await ample.page("a/data/none/hashes/zz.json"), undefined);
    assert.equal(counting.reads, 2 * each);
    const small = new ServedCatalogue(counting.all, { mostBytes: 1 });
    counting.reads = 0;
    for (const name of ["a", "a", "b", "a"]) await small.page(`${name}/catalogue.json`);
    assert.equal(counting.reads, 3 * each);
  } finally {
    await counting.close();
  }
});

const brokenIndexes: { name: string; text: () => Buffer; isDamaged?: boolean; code: ErrorCode }[] = [
  { name: "is no index", text: () => Buffer.from("<html>"), code: "CONTENT_INVALID" },
  { name: "a newer Spack wrote", text: () => Buffer.from('{"database":{"version":"99"}}'), code: "UNSUPPORTED" },
  { name: "is damaged", text: () => indexOf([one]), isDamaged: true, code: "SIZE_MISMATCH" },
];
for (const { name, text, isDamaged, code } of brokenIndexes)
  test(`an index that ${name} is read once, until it is replaced`, async () => {
    const folder = temporaryFolder();
    const bad = join(folder, "bad");
    await layoutWith(text(), bad);
    const digest = digestOf(text()).slice("sha256:".length);
    if (isDamaged) writeFileSync(join(bad, "blobs/sha256", digest), "x");
    const counting = await counted(folder);
    try {
      const pages = new ServedCatalogue(counting.all);
      await failsWith(code, async () => pages.page("bad/catalogue.json"));
      const { reads } = counting;
      await failsWith(code, async () => pages.page("bad/catalogue.json"));
      await failsWith(code, async () => pages.page("bad/plain/1.html"));
      assert.equal(counting.reads, reads);
      await indexedLayout([two], bad);
      assert.ok(await pages.page("bad/catalogue.json"));
    } finally {
      await counting.close();
    }
  });

test("a long path asks for few repositories", async () => {
  let asked = 0;
  const get = async (): Promise<never> => {
    asked++;
    throw new Refusal("NAME_UNKNOWN", "there is none");
  };
  const pages = new ServedCatalogue({ single: undefined, catalog: async () => [], get });
  assert.equal(await pages.page(`${"data/".repeat(10_000)}index.html`), undefined);
  assert.ok(asked <= 5);
});
