// Proves that the number of requests for an index update depends on what changed, not on the size of the cache.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { CacheListing, ReadCache } from "../../lib/cache/cache.ts";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { StaveError } from "../../lib/errors.ts";
import { listAll } from "../../lib/ops/cache/list.ts";
import { base32Hash } from "../../lib/spack/spec/dag-hash.ts";
import { DiskCache } from "../../lib/util/disk-cache.ts";
import { writeCacheFolder } from "../../scripts/make-cache.ts";
import { connect } from "../support/client.ts";
import { startRegistry, type TestRegistry, UNCONDITIONAL } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

let registry: TestRegistry;
before(async () => {
  registry = await startRegistry();
});
after(() => registry.close());

const NOTHING_LISTED: CacheListing = { specs: new Map(), foreign: [], others: [], hasIndex: false };
const emptyCache: ReadCache = {
  name: "the cache",
  can: { list: true, write: false, delete: false, images: false, sign: false },
  blobsOf: () => assert.fail("no blob is needed"),
  list: () => Promise.resolve(NOTHING_LISTED),
  has: () => Promise.resolve(true),
  fetchSpec: () => assert.fail("no spec is needed"),
  locateArchive: () => assert.fail("no spec is needed"),
  fetchNewNodes: () => assert.fail("no spec is needed"),
  readIndex: () => Promise.resolve(undefined),
};

// A listing has one page per 1 000 tags. Without conditional tag updates, the registry is listed once more.
const sizes = [
  { specs: 40, missing: 1, pages: 1, obeys: true },
  { specs: 40, missing: 12, pages: 1, obeys: true },
  { specs: 40, missing: 12, pages: 1, obeys: false },
  { specs: 1500, missing: 5, pages: 2, obeys: true },
  { specs: 1500, missing: 5, pages: 2, obeys: false },
];
for (const { specs, missing, pages, obeys } of sizes)
  test(`${missing} new of ${specs} specs, ${obeys ? "with" : "without"} conditions`, async () => {
    const name = `org/cache-${specs}-${missing}-${obeys}`;
    registry.rules.splice(0, registry.rules.length, ...(obeys ? [] : [UNCONDITIONAL]));
    const folder = join(registry.directory, name);
    const fresh = await writeCacheFolder(folder, { specs, missing, allImages: false, seed: specs });
    const client = connect(registry.host, name);
    const cache = new OciCache(client.target);
    const requests = async (work: () => Promise<unknown>): Promise<number> => {
      const first = registry.requests.length;
      await work();
      return registry.requests.length - first;
    };
    // The index's manifest and text, and the tags.
    const asked = 2 + pages;
    assert.equal(await requests(() => checkIndex(cache)), asked + 2 * missing);
    const updated = await requests(async () => {
      const report = await updateIndex(cache);
      assert.deepEqual([report.added, report.specs, report.rounds], [fresh.toSorted(), specs, obeys ? 1 : 2]);
    });
    // Manifest and config of each new spec; the index's blob (two requests) and manifest.
    assert.equal(updated, asked + 2 * missing + 3 + (obeys ? 0 : pages));
    assert.equal(await requests(() => updateIndex(cache)), asked, "nothing but looking when nothing changed");
    assert.equal(registry.count("HEAD"), 0);
    registry.rules.length = 0;
    await client.close();
  });

test("specs that were just pushed are not read again", async () => {
  const folder = join(registry.directory, "org/known");
  await writeCacheFolder(folder, { specs: 30, missing: 6, allImages: false, seed: 3 });
  const client = connect(registry.host, "org/known");
  const cache = new OciCache(client.target);
  const { specs } = await cache.list();
  const indexed = new Set([...((await cache.readIndex())?.records.keys() ?? [])]);
  const known = new Map();
  for (const { tag, hash } of specs.values())
    if (!indexed.has(hash)) known.set(tag, (await cache.fetchSpec(tag)).document);
  const first = registry.requests.length;
  const report = await updateIndex(cache, { known });
  assert.equal(report.isWritten, true);
  const [, ...rest] = registry.requests.slice(first).filter(({ path }) => /manifests\/.*-/.test(path));
  assert.deepEqual(rest, []);
  await client.close();
});

test("an index that was read before is not read again", async () => {
  const folder = join(registry.directory, "org/remembered");
  await writeCacheFolder(folder, { specs: 30, missing: 4, allImages: false, seed: 5 });
  const client = connect(registry.host, "org/remembered");
  const memory = new DiskCache({ folder: temporaryFolder(), clock: client.clock });
  const cache = new OciCache(client.target, { memory });
  const requests = async (work: () => Promise<unknown>): Promise<number> => {
    const first = registry.requests.length;
    await work();
    return registry.requests.length - first;
  };
  await cache.readIndex();
  assert.equal(await requests(() => updateIndex(cache)), 2 + 2 * 4 + 3, "2d + 4 and a listing");
  await cache.readIndex();
  assert.equal(await requests(() => updateIndex(cache)), 2, "the index's manifest and the tags");
  await client.close();
});

test("tags are listed while the index is downloaded, but only once it is certain which index that is", async () => {
  const calls: string[] = [];
  let identify: (() => void) | undefined;
  let read: (() => void) | undefined;
  const cache: ReadCache = {
    ...emptyCache,
    list: () => {
      calls.push("list");
      return Promise.resolve(NOTHING_LISTED);
    },
    readIndex: (options) => {
      identify = options?.onIdentified;
      return new Promise((resolve) => {
        read = () => resolve(undefined);
      });
    },
  };
  const checked = checkIndex(cache);
  await setImmediate();
  assert.deepEqual(calls, []);
  identify?.();
  assert.deepEqual(calls, ["list"]);
  read?.();
  await checked;
  assert.deepEqual(calls, ["list"]);
});

test("an index is certain once its manifest is there and trusted, before its text is requested", async () => {
  await writeCacheFolder(join(registry.directory, "org/both"), { specs: 30, missing: 0, allImages: false, seed: 11 });
  const client = connect(registry.host, "org/both");
  const first = registry.requests.length;
  const seen: string[] = [];
  const guard = {
    image: () => assert.fail("no image is needed"),
    index: async () => {
      await setImmediate();
      seen.push("trusted");
    },
  };
  const onIdentified = (): void => {
    seen.push(...registry.requests.slice(first).map(({ path }) => path));
  };
  await new OciCache(client.target, { guard }).readIndex({ onIdentified });
  assert.deepEqual(seen, ["trusted", "/v2/org/both/manifests/index.spack"]);
  await client.close();
});

test("a failure to list, before the index is read, is thrown after it", async () => {
  const cache: ReadCache = {
    ...emptyCache,
    list: () => Promise.reject(new StaveError("DENIED", "no list")),
    readIndex: async (options) => {
      options?.onIdentified?.();
      await setImmediate();
      return undefined;
    },
  };
  await assert.rejects(checkIndex(cache), { code: "DENIED" });
});

test("a failure to read the index is thrown once the listing has ended", async () => {
  let isOver = false;
  const cache: ReadCache = {
    ...emptyCache,
    list: async (options) => {
      const signal = options?.signal;
      if (signal?.aborted !== true) await new Promise((done) => signal?.addEventListener("abort", done));
      await setImmediate();
      isOver = true;
      throw signal?.reason;
    },
    readIndex: (options) => {
      options?.onIdentified?.();
      return Promise.reject(new StaveError("DENIED", "no index"));
    },
  };
  await assert.rejects(checkIndex(cache), { code: "DENIED", message: "no index" });
  assert.equal(isOver, true);
});

test("a failure to read the index ends the listing of tags", { timeout: 30_000 }, async () => {
  await writeCacheFolder(join(registry.directory, "org/denied"), { specs: 30, missing: 0, allImages: false, seed: 13 });
  registry.rules.splice(0, registry.rules.length, { path: /tags\/list/, fault: "hang" });
  registry.rules.push({ path: /\/blobs\//, fault: { status: 403 } });
  const client = connect(registry.host, "org/denied", { timeout: 300_000 });
  const first = registry.requests.length;
  await assert.rejects(updateIndex(new OciCache(client.target)), { code: "DENIED" });
  const asked = registry.requests.slice(first).map(({ path }) => path.replace(/^.*(tags|blobs|manifests).*$/, "$1"));
  assert.deepEqual(asked.toSorted(), ["blobs", "manifests", "tags"]);
  registry.rules.length = 0;
  await client.close();
});

test("a large index answers alone: nothing waits for the pages of tags", async () => {
  const folder = join(registry.directory, "org/large");
  await writeCacheFolder(folder, { specs: 5100, missing: 0, allImages: false, seed: 7 });
  registry.rules.splice(0, registry.rules.length, { path: /tags\/list/, fault: "hang" });
  const client = connect(registry.host, "org/large", { timeout: 300_000 });
  const { specs, unindexed } = await listAll([new OciCache(client.target)], { queries: [] });
  assert.deepEqual([specs.length, unindexed], [5100, []]);
  registry.rules.length = 0;
  await client.close();
});

test("how far it is, is told every 2 000 specs", async () => {
  const tags = Array.from({ length: 4100 }, (_, at) => `p-1.0-${base32Hash(String(at))}.spack`);
  const specs = new Map(tags.map((tag) => [tag, { tag, name: "p", version: "1.0", hash: tag.slice(6, 38) }]));
  const cache: ReadCache = {
    ...emptyCache,
    list: () => Promise.resolve({ ...NOTHING_LISTED, specs }),
    fetchNewNodes: (tag) => Promise.reject(new StaveError("NOT_FOUND", `${tag} is gone`)),
  };
  const told: string[] = [];
  await checkIndex(cache, { onProgress: (event) => event.type === "note" && told.push(event.text) });
  assert.deepEqual(told, ["reading 4100 new specs", "2000 of 4100 have been read", "4000 of 4100 have been read"]);
});
