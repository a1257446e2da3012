// Proves that blobs, manifests, tags and referrers of a registry are read and written with few requests and full
// verification.
import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { referrersTag } from "../../../lib/oci/referrer.ts";
import { parseNextLink } from "../../../lib/target/registry/tags.ts";
import { giveAway } from "../../../lib/util/free-chunks.ts";
import { bytesSource, readAll } from "../../../lib/util/stream.ts";
import { connect } from "../../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../../support/content.ts";
import { failsWith } from "../../support/errors.ts";
import { startRegistry } from "../../support/registry.ts";
import { vector } from "../../support/vectors.ts";

const closing: (() => Promise<unknown> | unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

async function registry(options: Parameters<typeof startRegistry>[0] = {}) {
  const started = await startRegistry(options);
  closing.push(() => started.close());
  return started;
}

function client(...args: Parameters<typeof connect>) {
  const made = connect(...args);
  closing.push(() => made.close());
  return made;
}

/** A server with scripted behaviour. */
async function scripted(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("Link headers are read as Spack reads them", () => {
  for (const [header, target] of vector("link_next", z.array(z.tuple([z.string(), z.string().nullable()]))))
    assert.equal(parseNextLink(header) ?? null, target, header);
  assert.equal(parseNextLink(`<${"x".repeat(10_000)}>; rel=next`), undefined);
  assert.equal(parseNextLink('<a>; rel=prev; title="x, <b>; rel=next", <c>; rel=next'), "c");
});

test("a blob that is there costs one request, a new one three", async () => {
  const { host, requests } = await registry();
  const { target } = client(host, "a");
  const blob = blobOf(someBytes(10_000));
  assert.equal(await target.pushBlob(blob.descriptor, bytesSource(blob.bytes)), "pushed");
  assert.deepEqual(
    requests.map((one) => one.method),
    ["HEAD", "POST", "PUT"],
  );
  assert.equal(await target.pushBlob(blob.descriptor, bytesSource(blob.bytes)), "present");
  assert.equal(requests.length, 4);
});

test("chunks of a source that belong to the upload are freed as they are sent, and all are counted", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const blob = blobOf(someBytes(3_000_000));
  const chunks = Array.from({ length: 10 }, (_, at) => {
    const chunk = Buffer.allocUnsafeSlow(300_000);
    chunk.set(blob.bytes.subarray(at * 300_000, (at + 1) * 300_000));
    return chunk;
  });
  const counts: number[] = [];
  const source = { size: 3_000_000, open: () => giveAway(Readable.from(chunks, { objectMode: true })) };
  await target.pushBlob(blob.descriptor, source, { onBytes: (count) => counts.push(count) });
  assert.deepEqual(
    chunks.map(({ byteLength }) => byteLength),
    chunks.map(() => 0),
  );
  assert.deepEqual(
    counts,
    chunks.map(() => 300_000),
  );
});

test("a blob of another repository is mounted; where that is refused, the opened upload is used", async () => {
  const { host, requests, rules } = await registry();
  const blob = blobOf(someBytes(10_000));
  await client(host, "a").target.pushBlob(blob.descriptor, bytesSource(blob.bytes));
  requests.length = 0;
  const b = client(host, "b").target;
  assert.equal(await b.pushBlob(blob.descriptor, bytesSource(blob.bytes), { mountFrom: ["a"] }), "mounted");
  assert.deepEqual(
    requests.map((one) => one.method),
    ["HEAD", "POST"],
  );
  requests.length = 0;
  assert.equal(
    await client(host, "c").target.pushBlob(blob.descriptor, bytesSource(blob.bytes), { mountFrom: ["nowhere"] }),
    "pushed",
  );
  assert.deepEqual(
    requests.map((one) => one.method),
    ["HEAD", "POST", "PUT"],
  );
  rules.push({ method: "POST", path: /mount=/, fault: { status: 405 } });
  assert.equal(
    await client(host, "d").target.pushBlob(blob.descriptor, bytesSource(blob.bytes), { mountFrom: ["a"] }),
    "pushed",
  );
});

test("an empty blob, a blob of one byte, sha512", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  for (const size of [0, 1]) {
    const blob = blobOf(someBytes(size));
    assert.equal(await target.pushBlob(blob.descriptor, bytesSource(blob.bytes)), "pushed");
    assert.equal((await readAll(await target.fetchBlob(blob.descriptor), 10, "b")).byteLength, size);
  }
});

test("streams of unknown length: one chunk, several, exactly a chunk", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  for (const size of [0, 5, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 20_000_000]) {
    const bytes = someBytes(size, size);
    let told = 0;
    const onBytes = (count: number) => {
      told += count;
    };
    const descriptor = await target.pushStream(await bytesSource(bytes).open(), "x/y", { onBytes });
    assert.deepEqual(descriptor, { ...blobOf(bytes, "x/y").descriptor });
    assert.equal(told, size);
    assert.ok((await readAll(await target.fetchBlob(descriptor), 1e8, "b")).equals(bytes));
  }
});

test("a stream that fails before anybody reads it ends the push with its error", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  for (let times = 0; times < 2; times++) {
    // Outside of a promise's callback, where the failure comes before what the push waits for.
    await setTimeout(1);
    await new Promise<void>((done, failed) => {
      process.nextTick(() => {
        const stream = new Readable({ read() {} });
        stream.destroy(new Error("the source failed"));
        assert.rejects(target.pushStream(stream, "x/y"), /the source failed/).then(done, failed);
      });
    });
  }
});

test("what is pushed under a digest must have it", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const [right, wrong] = [blobOf(someBytes(1000, 1)), blobOf(someBytes(1000, 2))];
  await failsWith("DIGEST_MISMATCH", target.pushBlob(right.descriptor, bytesSource(wrong.bytes)));
  assert.equal(await target.hasBlob(right.descriptor), false);
});

test("sizes that lie are noticed before anybody relies on the bytes", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const blob = blobOf(someBytes(1000));
  await target.pushBlob(blob.descriptor, bytesSource(blob.bytes));
  for (const size of [999, 1001]) {
    const read = async () => readAll(await target.fetchBlob({ ...blob.descriptor, size }), 1e6, "b");
    await failsWith("SIZE_MISMATCH", read);
  }
});

test("manifests: absent is 404 and nothing else", async () => {
  const { host, rules } = await registry();
  const { target } = client(host, "a", { retry: { attempts: 2 } });
  await pushImage(target, imageOf(1), "v1");
  assert.equal(await target.headManifest("nope"), undefined);
  const error = await failsWith("NOT_FOUND", target.fetchManifest("nope"));
  assert.match(error.hint ?? "", /stave tags/);
  const cases = [
    { status: 403, code: "DENIED" },
    { status: 500, code: "REGISTRY_ERROR" },
    { status: 401, code: "CREDENTIALS_MISSING" },
  ] as const;
  for (const { status, code } of cases) {
    const headers = { "www-authenticate": 'Basic realm="x"' };
    rules.splice(0, rules.length, { path: /manifests/, fault: { status, headers } });
    await failsWith(code, target.headManifest("v1"));
  }
});

test("a registry that says little on HEAD is asked for the document", async () => {
  const image = imageOf(1);
  const host = await scripted((request, response) => {
    if (request.method === "HEAD") response.writeHead(200).end();
    else response.writeHead(200, { "content-type": image.descriptor.mediaType }).end(image.bytes);
  });
  assert.deepEqual(await client(host, "a").target.headManifest("v1"), image.descriptor);
});

test("a manifest of 100 MB is refused, said or not, and nothing of it is kept", async () => {
  const said = await scripted((_request, response) => response.writeHead(200, { "content-length": 100e6 }).write("{"));
  await failsWith("TOO_LARGE", client(said, "a").target.fetchManifest("v1"));
  const unsaid = await scripted((_request, response) => {
    const chunk = Buffer.alloc(1e6, 0x20);
    const more = () => {
      while (!response.destroyed && response.write(chunk));
      if (!response.destroyed) response.once("drain", more);
    };
    more();
  });
  await failsWith("TOO_LARGE", client(unsaid, "a").target.fetchManifest("v1"));
});

test("a manifest whose digest lies", async () => {
  const image = imageOf(1);
  const host = await scripted((_request, response) => {
    response
      .writeHead(200, {
        "content-type": image.descriptor.mediaType,
        "docker-content-digest": imageOf(2).descriptor.digest,
      })
      .end(image.bytes);
  });
  await failsWith("DIGEST_MISMATCH", client(host, "a").target.fetchManifest("v1"));
  await failsWith("DIGEST_MISMATCH", client(host, "a").target.fetchManifest(imageOf(2).descriptor.digest));
});

test("10 000 tags come page by page", async () => {
  const { host, directory, requests } = await registry();
  const { target } = client(host, "a");
  const image = imageOf(1);
  await pushImage(target, image, "t00000");
  const { LayoutTarget } = await import("../../../lib/target/layout/layout.ts");
  const { systemClock } = await import("../../../lib/util/time.ts");
  const layout = await LayoutTarget.open(`${directory}/a`, { clock: systemClock });
  const names = Array.from({ length: 10_000 }, (_, at) => `t${String(at).padStart(5, "0")}`);
  await Promise.all(names.map((tag) => layout.pushManifest(image.bytes, image.descriptor.mediaType, { tag })));
  requests.length = 0;
  assert.deepEqual(await Array.fromAsync(target.tags()), names);
  assert.equal(requests.length, 10);
});

test("tag lists that never end, lead elsewhere or are nonsense", async () => {
  const cases: { name: string; link: string; body?: string; code: "REGISTRY_ERROR" | "CONTENT_INVALID" }[] = [
    { name: "the same page again", link: '</v2/a/tags/list?n=1000>; rel="next"', code: "REGISTRY_ERROR" },
    { name: "another origin", link: '<http://example.org/v2/a/tags/list?n=1>; rel="next"', code: "REGISTRY_ERROR" },
    { name: "a file", link: '<file:///etc/passwd>; rel="next"', code: "REGISTRY_ERROR" },
    { name: "not JSON", link: "", body: "hello", code: "CONTENT_INVALID" },
    { name: "a web page", link: "", body: "<html>", code: "REGISTRY_ERROR" },
    { name: "wrong shape", link: "", body: '{"tags":[1]}', code: "CONTENT_INVALID" },
  ];
  for (const { name, link, body = '{"tags":["x"]}', code } of cases) {
    const host = await scripted((_request, response) => response.writeHead(200, link === "" ? {} : { link }).end(body));
    await failsWith(code, Array.fromAsync(client(host, "a").target.tags())).catch((error) =>
      assert.fail(`${name}: ${error}`),
    );
  }
});

const NO_TAGS = [
  "../../other/manifests/1",
  "a/b",
  "a?b",
  "a#b",
  "%2e%2e",
  ".hidden",
  "",
  "a\u001b[2J",
  "a\u202eb",
  "a".repeat(129),
];

test("names that are no tags are not used, wherever they are from", async () => {
  for (const tag of NO_TAGS) {
    const host = await scripted((_request, response) => response.end(JSON.stringify({ tags: ["good", tag] })));
    const error = await failsWith(
      "CONTENT_INVALID",
      Array.fromAsync(client(host, "a").target.tags()),
      /an invalid tag/,
    );
    assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
  }
  const started = await registry();
  const { target } = client(started.host, "a");
  const image = imageOf("x", [10]);
  for (const tag of NO_TAGS) {
    await failsWith("REFERENCE_INVALID", target.headManifest(tag));
    await failsWith("REFERENCE_INVALID", target.fetchManifest(tag));
    await failsWith("REFERENCE_INVALID", target.deleteManifest(tag));
    await failsWith("REFERENCE_INVALID", target.pushManifest(image.bytes, image.descriptor.mediaType, { tag }));
  }
  assert.equal(started.requests.length, 0);
});

test("a repository that would be another place in a URL is refused", async () => {
  for (const name of ["../other", "a/../b", "a?b", "a#b", "a b", "", "/a", "a%2fb", "a\nb"])
    await failsWith("REFERENCE_INVALID", () => client("127.0.0.1:1", name));
});

test("an absolute Link to the same origin is followed, which Spack does not do", async () => {
  const { host, rules, requests } = await registry();
  const { target } = client(host, "a");
  await pushImage(target, imageOf(1), "x");
  rules.push({
    path: /tags\/list\?n=1000$/,
    fault: { headers: { link: `<http://${host}/v2/a/tags/list?n=1&last=a>; rel="next"` } },
  });
  assert.deepEqual(await Array.fromAsync(target.tags()), ["x", "x"]);
  assert.equal(requests.filter((one) => /tags/.test(one.url)).length, 2);
});

test("tags of a repository that is not there", async () => {
  const { host } = await registry();
  await failsWith("NOT_FOUND", Array.fromAsync(client(host, "nope").target.tags()));
});

test("a tag is moved under a condition only", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const [one, two] = [imageOf(1), imageOf(2)];
  const put = (image: typeof one, condition: { absent: true } | { digest: typeof one.descriptor.digest }) =>
    target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "t", condition });
  for (const { descriptor, bytes } of [...one.blobs, ...two.blobs])
    await target.pushBlob(descriptor, bytesSource(bytes));
  await put(one, { absent: true });
  await failsWith("CONFLICT", put(two, { absent: true }));
  await failsWith("CONFLICT", put(two, { digest: two.descriptor.digest }));
  await put(two, { digest: one.descriptor.digest });
  assert.equal((await target.headManifest("t"))?.digest, two.descriptor.digest);
});

test("of ten writers with the same condition, one wins", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const images = Array.from({ length: 10 }, (_, at) => imageOf(at, [100]));
  for (const { blobs } of images)
    for (const { descriptor, bytes } of blobs) await target.pushBlob(descriptor, bytesSource(bytes));
  const results = await Promise.allSettled(
    images.map(({ bytes, descriptor }) =>
      target.pushManifest(bytes, descriptor.mediaType, { tag: "t", condition: { absent: true } }),
    ),
  );
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
});

test("a registry that ignores conditions is found out before the tag is touched", async () => {
  const { host, rules } = await registry();
  const { target } = client(host, "a");
  const image = imageOf(1);
  await pushImage(target, image, "t");
  rules.push({ method: "PUT", path: /manifests\/sha256/, fault: { status: 201 } });
  const put = target.pushManifest(image.bytes, image.descriptor.mediaType, { tag: "new", condition: { absent: true } });
  await failsWith("UNSUPPORTED", put);
  assert.equal(await target.headManifest("new"), undefined);
});

test("referrers by the API, with a filter", async () => {
  const { host } = await registry();
  const { target } = client(host, "a");
  const subject = await pushImage(target, imageOf(1), "v1");
  for (const artifactType of ["a/b", "c/d"])
    await pushImage(target, imageOf(artifactType, [10], { subject, artifactType }));
  assert.deepEqual((await target.referrers(subject.digest)).map((entry) => entry.artifactType).sort(), ["a/b", "c/d"]);
  assert.deepEqual(
    (await target.referrers(subject.digest, { artifactType: "a/b" })).map((entry) => entry.artifactType),
    ["a/b"],
  );
});

test("referrers by tag where there is no API, whoever else writes at the same time", async () => {
  // A registry without the API neither lists referrers nor processes subjects.
  const { host } = await registry({
    rules: [
      { path: /\/referrers\//, fault: { status: 404 } },
      { method: "PUT", path: /\/manifests\/sha256:/, fault: { withoutHeader: "oci-subject" } },
    ],
  });
  const { target } = client(host, "a");
  const subject = await pushImage(target, imageOf(1), "v1");
  assert.deepEqual(await target.referrers(subject.digest), []);
  const images = Array.from({ length: 5 }, (_, at) =>
    imageOf(`r${at}`, [10], { subject, artifactType: `a/${at % 2}` }),
  );
  await Promise.all(images.map((image) => pushImage(client(host, "a").target, image)));
  const found = await target.referrers(subject.digest);
  assert.deepEqual(found.map((entry) => entry.digest).sort(), images.map((image) => image.descriptor.digest).sort());
  assert.equal((await target.referrers(subject.digest, { artifactType: "a/0" })).length, 3);
  assert.ok(await target.headManifest(referrersTag(subject.digest)));
});

test("deleting: tags, manifests, blobs, what is not there, and where it is not allowed", async () => {
  const started = await registry();
  const { target } = client(started.host, "a");
  const image = imageOf(1);
  await pushImage(target, image, "t");
  await target.deleteManifest("t");
  assert.equal(await target.headManifest("t"), undefined);
  await target.deleteManifest(image.descriptor.digest);
  assert.equal(await target.headManifest(image.descriptor.digest), undefined);
  await failsWith("NOT_FOUND", target.deleteManifest("t"));
  const [config] = image.blobs;
  assert.ok(config);
  await target.deleteBlob(config.descriptor.digest);
  assert.equal(await target.hasBlob(config.descriptor), false);
  const readOnly = await registry({ readOnly: true });
  await failsWith("DENIED", client(readOnly.host, "a").target.deleteBlob(config.descriptor.digest));
});
