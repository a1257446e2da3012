// Proves that each fault at each step of a push and a fetch ends in success after the right number of requests, or with
// the right code; never with wrong bytes, never in a hang. Pauses take no time: the clock jumps.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { type ErrorCode, isStaveError, StaveError } from "../../lib/errors.ts";
import { bytesSource, readAll } from "../../lib/util/stream.ts";
import { connect, type TestClient } from "../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../support/content.ts";
import { type Fault, type Rule, startRegistry, type TestRegistry } from "../support/registry.ts";

const BLOB = blobOf(someBytes(300_000, "faults"));
const IMAGE = imageOf("faults", [2000]);

/** A step of a push or a fetch: the request that fails, and the operation around it. */
interface Step {
  name: string;
  method: string;
  path: RegExp;
  /** True if the content already exists. */
  present: boolean;
  /** The registry takes blobs in one request. */
  takesWholePosts?: boolean;
  run: (client: TestClient) => Promise<void>;
  /** Faults that make no sense for this step. */
  not?: string[];
}

const steps: Step[] = [
  {
    name: "HEAD blob",
    method: "HEAD",
    path: /\/blobs\/sha256/,
    present: true,
    run: async ({ target }) => assert.equal(await target.hasBlob(BLOB.descriptor), true),
    not: ["truncated", "wrong content", "wrong content once"],
  },
  {
    name: "POST session",
    method: "POST",
    path: /\/uploads\/(?:\?digest=.*)?$/,
    present: false,
    run: pushBlob,
    not: ["truncated", "wrong content", "wrong content once", "lost commit"],
  },
  {
    name: "POST blob",
    method: "POST",
    path: /\/uploads\//,
    present: false,
    takesWholePosts: true,
    run: pushBlob,
    not: ["truncated", "wrong content", "wrong content once"],
  },
  {
    name: "PUT blob",
    method: "PUT",
    path: /\/uploads\//,
    present: false,
    run: pushBlob,
    not: ["truncated", "wrong content", "wrong content once"],
  },
  {
    name: "HEAD manifest",
    method: "HEAD",
    path: /\/manifests\//,
    present: true,
    run: async ({ target }) => assert.equal((await target.headManifest("tag"))?.digest, IMAGE.descriptor.digest),
    not: ["truncated", "wrong content", "wrong content once"],
  },
  {
    name: "PUT manifest",
    method: "PUT",
    path: /\/manifests\//,
    present: true,
    run: async ({ target }) =>
      assert.equal(
        (await target.pushManifest(IMAGE.bytes, IMAGE.descriptor.mediaType, { tag: "tag" })).descriptor.digest,
        IMAGE.descriptor.digest,
      ),
    not: ["truncated", "wrong content", "wrong content once"],
  },
  {
    name: "GET manifest",
    method: "GET",
    path: /\/manifests\//,
    present: true,
    run: async ({ target }) => assert.deepEqual((await target.fetchManifest("tag")).bytes, Buffer.from(IMAGE.bytes)),
  },
  { name: "GET blob", method: "GET", path: /\/blobs\/sha256/, present: true, run: fetchBlob },
  {
    name: "GET tags",
    method: "GET",
    path: /\/tags\/list/,
    present: true,
    run: async ({ target }) => assert.deepEqual(await Array.fromAsync(target.tags()), ["tag"]),
    not: ["wrong content", "wrong content once"],
  },
  {
    name: "GET referrers",
    method: "GET",
    path: /\/referrers\//,
    present: true,
    run: async ({ target }) => assert.deepEqual(await target.referrers(IMAGE.descriptor.digest), []),
    not: ["wrong content", "wrong content once"],
  },
];

async function pushBlob({ target }: TestClient): Promise<void> {
  let told = 0;
  const onBytes = (count: number) => {
    told += count;
  };
  assert.equal(await target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes), { onBytes }), "pushed");
  assert.equal(told, BLOB.bytes.byteLength, "progress ends at the size, whatever was sent twice");
}

async function fetchBlob({ target }: TestClient): Promise<void> {
  const bytes = await readAll(await target.fetchBlob(BLOB.descriptor), 1e6, "blob");
  assert.ok(bytes.equals(BLOB.bytes), "the right bytes");
}

interface FaultCase {
  name: string;
  fault: Fault;
  /** How often it occurs; default once. */
  times?: number;
  /** The resulting code; undefined for success. */
  code?: ErrorCode | Partial<Record<string, ErrorCode>>;
  /** The number of requests the step then takes; default one more than it fails. */
  requests?: number | Partial<Record<string, number>>;
  /** The least total pause in milliseconds. */
  waits?: number;
}

const always = Number.POSITIVE_INFINITY;
const date = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString();
// A lost commit is detected by asking for the blob, so that its bytes are not sent again.
const faults: FaultCase[] = [
  { name: "408", fault: { status: 408 } },
  { name: "429 for 7 s", fault: { status: 429, headers: { "retry-after": "7" } }, waits: 7000 },
  { name: "429 until a date", fault: { status: 429, headers: { "retry-after": date(60) } }, waits: 20_000 },
  { name: "503 for 40 s", fault: { status: 503, headers: { "retry-after": "40" } }, waits: 40_000 },
  { name: "500 twice", fault: { status: 500 }, times: 2 },
  { name: "502", fault: { status: 502, body: "<html>bad gateway</html>" } },
  { name: "504", fault: { status: 504 } },
  { name: "reset before the answer", fault: "reset" },
  { name: "reset within the request", fault: { resetAfter: 1000 } },
  { name: "no answer in time", fault: "hang" },
  { name: "truncated", fault: { truncate: 10 } },
  { name: "lost commit", fault: "lost commit", requests: { "PUT blob": 1, "POST blob": 1 } },
  { name: "503 for ever", fault: { status: 503 }, times: always, code: "REGISTRY_ERROR", requests: 4 },
  {
    name: "429 for a day",
    fault: { status: 429, headers: { "retry-after": "86400" } },
    times: always,
    code: "RATE_LIMITED",
    requests: 1,
  },
  {
    name: "403",
    fault: { status: 403, body: '{"errors":[{"code":"DENIED"}]}' },
    times: always,
    code: "DENIED",
    requests: 1,
  },
  {
    name: "wrong content",
    fault: "wrong content",
    times: always,
    code: "DIGEST_MISMATCH",
    requests: { "GET blob": 1, "GET manifest": 2 },
  },
  {
    name: "wrong content once",
    fault: "wrong content",
    code: { "GET blob": "DIGEST_MISMATCH" },
    requests: { "GET blob": 1 },
  },
  {
    name: "redirect loop",
    fault: { redirect: "/v2/loop/blobs/sha256:x", status: 307 },
    times: always,
    code: "REGISTRY_ERROR",
    requests: 1,
  },
  {
    name: "redirect to no web address",
    fault: { redirect: "file:///etc/passwd" },
    times: always,
    code: "REGISTRY_ERROR",
    requests: 1,
  },
];

const registries: TestRegistry[] = [];
let full: TestRegistry;

before(async () => {
  full = await startRegistry();
  registries.push(full);
  const client = connect(full.host, "r");
  await pushImage(client.target, IMAGE, "tag");
  await client.target.pushBlob(BLOB.descriptor, bytesSource(BLOB.bytes));
  await client.close();
});

after(async () => {
  for (const registry of registries) await registry.close();
});

for (const step of steps)
  for (const { name, fault, times = 1, code, requests, waits } of faults) {
    if (step.not?.includes(name)) continue;
    test(`${step.name}: ${name}`, { timeout: 20_000 }, async () => {
      const { present, takesWholePosts = false } = step;
      const registry = present ? full : await startRegistry({ takesWholePosts });
      if (!step.present) registries.push(registry);
      const loop: Rule[] =
        name === "redirect loop" ? [{ path: /^\/v2\/loop\//, fault: { redirect: "/v2/loop/blobs/sha256:x" } }] : [];
      registry.rules.splice(0, registry.rules.length, ...loop, { method: step.method, path: step.path, times, fault });
      registry.requests.length = 0;
      const retry = { attempts: 4, milliseconds: 600_000 };
      const client = connect(registry.host, "r", { timeout: name === "no answer in time" ? 150 : 3000, retry });
      try {
        const failure = await step.run(client).then(
          () => undefined,
          (error: unknown) => error,
        );
        const wanted = typeof code === "object" ? code[step.name] : code;
        if (wanted === undefined) assert.equal(failure, undefined);
        else {
          assert.ok(isStaveError(failure, wanted), `expected ${wanted}, got ${String(failure)}`);
          assert.ok(!failure.message.includes("\n"));
        }
        const expected = (typeof requests === "object" ? requests[step.name] : requests) ?? times + 1;
        assert.equal(
          registry.requests.filter(
            (one) => one.method === step.method && step.path.test(one.url) && !one.url.startsWith("/v2/loop/"),
          ).length,
          expected,
          "requests of this step",
        );
        if (waits !== undefined)
          assert.ok(client.clock.slept.reduce((sum, ms) => sum + ms, 0) >= waits - 100, `waited ${client.clock.slept}`);
      } finally {
        registry.rules.length = 0;
        await client.close();
      }
    });
  }

test("a blob is read on where the connection broke, not from its start", async () => {
  full.rules.splice(0, full.rules.length, { method: "GET", path: /blobs/, times: 3, fault: { truncate: 100_000 } });
  full.requests.length = 0;
  const client = connect(full.host, "r");
  await fetchBlob(client);
  full.rules.length = 0;
  const ranges = full.requests.filter((one) => one.method === "GET").map((one) => one.headers.range?.split("-")[0]);
  assert.equal(ranges[0], undefined);
  assert.ok(ranges.length >= 3 && ranges.slice(1).every((range) => Number(range?.split("=")[1]) > 0), ranges.join(" "));
  await client.close();
});

test("a server that ignores Range is read again from the start, and what is known is passed over", async () => {
  full.requests.length = 0;
  full.rules.splice(
    0,
    full.rules.length,
    { method: "GET", path: /blobs/, times: 1, fault: { truncate: 100_000 } },
    { method: "GET", path: /blobs/, fault: "ignore range" },
  );
  const client = connect(full.host, "r");
  await fetchBlob(client);
  full.rules.length = 0;
  assert.deepEqual(
    full.requests.map((one) => one.headers.range === undefined),
    [true, false],
  );
  await client.close();
});

test("a server that answers with another range than asked for is refused", async () => {
  full.rules.splice(
    0,
    full.rules.length,
    { method: "GET", path: /blobs/, times: 1, fault: { truncate: 100_000 } },
    { method: "GET", path: /blobs/, fault: { headers: { "content-range": "bytes 0-5/300000" } } },
  );
  const client = connect(full.host, "r");
  await assert.rejects(fetchBlob(client), (error) => isStaveError(error, "REGISTRY_ERROR"));
  full.rules.length = 0;
  await client.close();
});

describe("the start of a blob", () => {
  const path = /blobs/;
  const ROWS: { name: string; rules: Rule[]; ranges: (string | undefined)[] }[] = [
    { name: "takes one request for its bytes", rules: [], ranges: ["bytes=0-99999"] },
    {
      name: "goes on where the connection broke",
      rules: [{ method: "GET", path, times: 1, fault: { truncate: 50_000 } }],
      ranges: ["bytes=0-99999", "bytes=50000-99999"],
    },
    {
      name: "comes from a server that ignores ranges",
      rules: [{ method: "GET", path, fault: "ignore range" }],
      ranges: ["bytes=0-99999"],
    },
    {
      name: "is asked for again after a reset",
      rules: [{ method: "GET", path, times: 1, fault: "reset" }],
      ranges: ["bytes=0-99999", "bytes=0-99999"],
    },
  ];
  for (const { name, rules, ranges } of ROWS)
    test(name, async () => {
      full.rules.splice(0, full.rules.length, ...rules);
      full.requests.length = 0;
      const client = connect(full.host, "r");
      const start = await client.target.fetchBlobStart(BLOB.descriptor, 100_000);
      full.rules.length = 0;
      assert.ok(start.equals(Buffer.from(BLOB.bytes).subarray(0, 100_000)));
      const asked = full.requests.map((one) => one.headers.range);
      assert.equal(asked.length, ranges.length, asked.join(" "));
      assert.equal(asked[0], ranges[0]);
      await client.close();
    });

  test("is all of a smaller one, verified", async () => {
    const client = connect(full.host, "r");
    assert.equal((await client.target.fetchBlobStart(BLOB.descriptor, 1e9)).length, 300_000);
    full.rules.splice(0, full.rules.length, { method: "GET", path, fault: "wrong content" });
    await assert.rejects(client.target.fetchBlobStart(BLOB.descriptor, 1e9), (error) =>
      isStaveError(error, "DIGEST_MISMATCH"),
    );
    full.rules.length = 0;
    await client.close();
  });
});

test("an upload that a proxy finds too large goes in chunks", async () => {
  const registry = await startRegistry({
    rules: [{ method: "PUT", path: /uploads/, times: 1, fault: { status: 413 } }],
  });
  const client = connect(registry.host, "r");
  await pushBlob(client);
  assert.equal(registry.count("PATCH"), 1);
  await fetchBlob(client);
  await client.close();
  await registry.close();
});

test("a host that refused a large blob gets the next ones in chunks at once, and no session is left open", async () => {
  const registry = await startRegistry({
    rules: [{ method: "PUT", path: /uploads/, times: 1, fault: { status: 413 } }],
  });
  const client = connect(registry.host, "r");
  for (const name of ["one", "two"]) {
    const { descriptor, bytes } = blobOf(someBytes(9_000_000, name));
    await client.target.pushBlob(descriptor, bytesSource(bytes), { isNew: true });
  }
  assert.deepEqual(
    registry.requests.map(({ method }) => method),
    ["POST", "PUT", "DELETE", "HEAD", "POST", "PATCH", "PATCH", "PUT", "POST", "PATCH", "PATCH", "PUT"],
  );
  await client.close();
  await registry.close();
});

test("a stream goes in chunks as large as the registry asks for", async () => {
  const big = blobOf(someBytes(20_000_000, "big"));
  const registry = await startRegistry({ minChunk: 12_000_000 });
  const client = connect(registry.host, "r");
  const { digest } = await client.target.pushStream(bytesSource(big.bytes).open() as Readable, "x/y");
  assert.equal(digest, big.descriptor.digest);
  assert.equal(registry.count("PATCH"), 2);
  await client.close();
  await registry.close();
});

test("a source that breaks in the middle of a stream is named as the source, and the upload is canceled", async () => {
  const registry = await startRegistry();
  const client = connect(registry.host, "r");
  async function* broken(): AsyncGenerator<Buffer> {
    yield someBytes(9_000_000, "broken");
    throw new StaveError("NETWORK", "the line was cut");
  }
  const pushed = client.target.pushStream(Readable.from(broken(), { objectMode: false }), "x/y");
  await assert.rejects(pushed, (error) => isStaveError(error, "NETWORK") && error.side === "source");
  assert.equal(registry.count("DELETE"), 1);
  await client.close();
  await registry.close();
});

test("an upload in chunks goes on after a broken chunk, asking how far it came", async () => {
  const big = blobOf(someBytes(20_000_000, "big"));
  const registry = await startRegistry({
    minChunk: 1_000_000,
    rules: [
      { method: "PUT", path: /uploads/, times: 1, fault: { status: 413 } },
      { method: "PATCH", after: 1, times: 1, fault: { resetAfter: 2_000_000 } },
      { method: "PATCH", after: 1, times: 1, fault: "lost commit" },
    ],
  });
  const client = connect(registry.host, "r");
  assert.equal(await client.target.pushBlob(big.descriptor, bytesSource(big.bytes)), "pushed");
  const bytes = await readAll(await client.target.fetchBlob(big.descriptor), 1e8, "blob");
  assert.ok(bytes.equals(big.bytes));
  assert.ok(
    registry.requests.some((one) => one.method === "GET" && /uploads/.test(one.url)),
    "asked for the state",
  );
  await client.close();
  await registry.close();
});

describe("a blob whose digest is known only after it has been read", () => {
  const { bytes, descriptor } = blobOf(someBytes(20_000_000, "late"));
  // The reads from the start, and what is asked of the digest before the first of them has ended.
  const late = (from: () => AsyncIterable<Uint8Array>) => {
    let [reads, early, isRead] = [0, 0, false];
    const source = {
      size: descriptor.size,
      hasLateDigest: true,
      open: (offset = 0) => {
        if (offset > 0) return bytesSource(bytes).open(offset);
        reads++;
        return Readable.from(from()).once("end", () => {
          isRead = true;
        });
      },
    };
    const blob = {
      ...{ mediaType: descriptor.mediaType, size: descriptor.size },
      get digest() {
        if (!isRead) early++;
        return descriptor.digest;
      },
    };
    return { blob, source, counts: () => ({ reads, early }) };
  };
  async function* whole(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 1e6) yield bytes.subarray(at, at + 1e6);
  }
  const uploads = /uploads/;
  const rows: { name: string; rules: Rule[]; methods: string[]; counts: { reads: number; early: number } }[] = [
    { name: "is sent before its digest", rules: [], methods: ["POST", "PATCH", "PUT"], counts: { reads: 1, early: 0 } },
    ...[400, 403, 404, 405, 409, 411, 413, 416, 501].map((status) => ({
      name: `is sent with its digest after status ${status}`,
      rules: [{ method: "PATCH", path: uploads, fault: { status } }],
      methods: ["POST", "PATCH", "DELETE", "POST", "PUT"],
      counts: { reads: 2, early: 1 },
    })),
    {
      name: "is sent with its digest if each PATCH breaks",
      rules: [{ method: "PATCH", path: uploads, fault: { status: 500 } }],
      methods: ["POST", "PATCH", "HEAD", "GET", "PUT"],
      counts: { reads: 2, early: 2 },
    },
    {
      name: "is sent in chunks if its PUT is too large as well",
      rules: [
        { method: "PATCH", path: uploads, times: 1, fault: { status: 413 } },
        { method: "PUT", path: uploads, times: 1, fault: { status: 413 } },
      ],
      methods: ["POST", "PATCH", "DELETE", "POST", "PUT", "DELETE", "HEAD", "POST", "PATCH", "PATCH", "PATCH", "PUT"],
      counts: { reads: 3, early: 2 },
    },
    {
      name: "is sent again if the registry kept nothing when the connection broke",
      rules: [{ method: "PATCH", path: uploads, times: 1, fault: { resetAfter: 12_000_000 } }],
      methods: ["POST", "PATCH", "HEAD", "GET", "PUT"],
      counts: { reads: 2, early: 2 },
    },
    {
      name: "is not sent again if the registry has all of it when the connection breaks",
      rules: [{ method: "PATCH", path: uploads, times: 1, fault: "lost commit" }],
      methods: ["POST", "PATCH", "HEAD", "GET", "PUT"],
      counts: { reads: 1, early: 0 },
    },
    {
      name: "is not sent again if only the response to its commit was lost",
      rules: [{ method: "PUT", path: uploads, times: 1, fault: "lost commit" }],
      methods: ["POST", "PATCH", "PUT", "HEAD"],
      counts: { reads: 1, early: 0 },
    },
  ];
  for (const { name, rules, methods, counts } of rows)
    test(name, async () => {
      const registry = await startRegistry({ rules });
      const client = connect(registry.host, "r");
      const { blob, source, counts: counted } = late(whole);
      assert.equal(await client.target.pushBlob(blob, source, { isNew: true }), "pushed");
      assert.deepEqual(
        registry.requests.map(({ method }) => method),
        methods,
      );
      assert.deepEqual(counted(), counts);
      const stored = await readAll(await client.target.fetchBlob(descriptor), 1e8, "blob");
      assert.ok(stored.equals(bytes));
      await client.close();
      await registry.close();
    });

  test("leaves no session open if its source breaks", async () => {
    const registry = await startRegistry();
    const client = connect(registry.host, "r");
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 9_000_000);
      throw new StaveError("NETWORK", "the disk was unplugged");
    }
    const { blob, source } = late(broken);
    await assert.rejects(
      client.target.pushBlob(blob, source, { isNew: true }),
      (error) => isStaveError(error, "NETWORK") && error.side === "source",
    );
    assert.deepEqual([registry.count("PATCH"), registry.count("DELETE")], [1, 1]);
    await client.close();
    await registry.close();
  });
});

test("an upload whose session is gone begins again; one whose bytes are gone says so", async () => {
  const registry = await startRegistry({
    rules: [
      {
        method: "PUT",
        path: /uploads/,
        times: 1,
        fault: { status: 404, body: '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}' },
      },
    ],
  });
  const client = connect(registry.host, "r");
  await pushBlob(client);
  assert.equal(registry.count("POST"), 2);
  const big = someBytes(20_000_000, "gone");
  registry.rules.push(
    { method: "PATCH", after: 1, fault: "reset" },
    { method: "GET", path: /uploads/, fault: { status: 404 } },
  );
  await assert.rejects(client.target.pushStream(bytesSource(big).open() as never, "x/y"), (error) =>
    isStaveError(error, "UPLOAD_LOST"),
  );
  await client.close();
  await registry.close();
});
