// The index of layout 2 has no recorded digest: it is fetched again only if the place says that it has changed.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createTransport } from "../../../lib/http/transport.ts";
import type { ReadObjects } from "../../../lib/objects/objects.ts";
import { S3Objects } from "../../../lib/objects/s3/s3-objects.ts";
import type { S3Place } from "../../../lib/objects/s3/s3-settings.ts";
import { WebObjects } from "../../../lib/objects/web-objects.ts";
import { DiskCache } from "../../../lib/util/disk-cache.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { failsWith } from "../../support/errors.ts";
import { copiedMirror, mirrorAt, startWeb } from "../../support/mirrors.ts";
import { S3_PAIR, startS3 } from "../../support/s3-server.ts";
import { temporaryFolder } from "../../support/tree.ts";

const clock = systemClock;
const transport = createTransport({ clock, retry: { attempts: 2, milliseconds: 2000 } });
const web = await startWeb(await copiedMirror(2));
const s3 = await startS3();
after(async () => {
  await transport.close();
  await web.close();
  await s3.close();
});

const folder = await copiedMirror(2);
const INDEX = "build_cache/index.json";
const bytes = readFileSync(join(folder, INDEX));
const tagOf = (text: Uint8Array): string => `"${createHash("md5").update(text).digest("hex")}"`;

// A web server that sends one of the headers that tell states apart, or none.
const validators = ["etag", "last-modified", "none"] as const;
for (const validator of validators)
  test(`a web server with ${validator === "none" ? "nothing to compare" : validator}: an index is fetched ${validator === "none" ? "each time" : "again only if it has changed"}`, async () => {
    const memory = new DiskCache({ folder: temporaryFolder(), clock });
    let content: Buffer = bytes;
    const sent: number[] = [];
    web.intervene = (request, response) => {
      if (!request.url?.endsWith("index.json") || request.url.includes("v3")) return false;
      const value = validator === "etag" ? tagOf(content) : `Mon, 01 Jan 2024 00:00:${content.length % 60} GMT`;
      const known = request.headers[validator === "etag" ? "if-none-match" : "if-modified-since"];
      const isSame = validator !== "none" && known === value;
      sent.push(isSame ? 304 : 200);
      response.writeHead(isSame ? 304 : 200, validator === "none" ? {} : { [validator]: value });
      response.end(isSame ? undefined : content);
      return true;
    };
    const read = async (): Promise<number | undefined> => {
      const objects = new WebObjects({ url: new URL(web.url), transport, login: undefined });
      return (await mirrorAt("/nowhere", { objects, memory }).readIndex())?.size;
    };
    assert.deepEqual([await read(), await read()], [bytes.length, bytes.length]);
    content = Buffer.concat([bytes, Buffer.from("\n ")]);
    assert.deepEqual([await read(), await read()], [content.length, content.length]);
    assert.deepEqual(sent, validator === "none" ? [200, 200, 200, 200] : [200, 304, 200, 304]);
    web.intervene = undefined;
  });

test("a web server that breaks off in the index is asked again, and one that always does is an error", async () => {
  const objects = new WebObjects({ url: new URL(web.url), transport, login: undefined });
  let left = 1;
  web.intervene = (request, response) => {
    if (!request.url?.endsWith("index.json") || request.url.includes("v3") || left-- <= 0) return false;
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 1000), () => response.destroy());
    return true;
  };
  const mirror = () => mirrorAt("/x", { objects, memory: new DiskCache({ folder: temporaryFolder(), clock }) });
  assert.equal((await mirror().readIndex())?.size, bytes.length);
  left = Number.POSITIVE_INFINITY;
  await failsWith("NETWORK", mirror().readIndex());
  web.intervene = undefined;
});

test("a bucket is asked for the state of its index", async () => {
  const place = {
    dialect: "s3",
    ...{ bucket: "cache", prefix: "", endpoint: new URL(s3.url), region: "us-east-1" },
    credentials: { pair: S3_PAIR, token: undefined, from: "the test" },
  } as const;
  const objects = new S3Objects({ place, name: "s3://cache", transport, clock, scratch: temporaryFolder() });
  const put = (text: Buffer): unknown =>
    s3.objects.set(`cache/${INDEX}`, { bytes: text, etag: tagOf(text), modified: new Date() });
  put(bytes);
  const memory = new DiskCache({ folder: temporaryFolder(), clock });
  const read = async (): Promise<number | undefined> =>
    (await mirrorAt("/x", { objects: objects as ReadObjects, memory }).readIndex())?.size;
  assert.deepEqual([await read(), await read()], [bytes.length, bytes.length]);
  put(Buffer.concat([bytes, Buffer.from("\n")]));
  assert.equal(await read(), bytes.length + 1);
  assert.deepEqual(s3.sent, [200, 304, 200]);
});

test("an index in a folder is read again when its file has changed", async () => {
  const memory = new DiskCache({ folder: temporaryFolder(), clock });
  const read = async (): Promise<number | undefined> => (await mirrorAt(folder, { memory }).readIndex())?.size;
  assert.deepEqual([await read(), await read()], [bytes.length, bytes.length]);
  writeFileSync(join(folder, INDEX), Buffer.concat([bytes, Buffer.from("\n")]));
  assert.equal(await read(), bytes.length + 1);
});

const bucketAt = (endpoint: string, way = transport, more: Partial<S3Place> = {}): S3Objects => {
  const credentials = { pair: S3_PAIR, token: undefined, from: "the test" };
  const place = { bucket: "cache", prefix: "", endpoint: new URL(endpoint), region: "us-east-1", credentials };
  const whole: S3Place = { dialect: "s3", ...place, ...more };
  return new S3Objects({ place: whole, name: "s3://cache", transport: way, clock, scratch: temporaryFolder() });
};

test("what one server sent for a bucket is not taken for the bucket of that name at another, with the same ETag", async (t) => {
  const other = await startS3();
  t.after(() => other.close());
  const [here, there] = [bytes, Buffer.concat([bytes, Buffer.from("\n ")])];
  const index = (content: Buffer) => ({ bytes: content, etag: '"one"', modified: new Date() });
  s3.objects.set(`cache/${INDEX}`, index(here));
  other.objects.set(`cache/${INDEX}`, index(there));
  const memory = new DiskCache({ folder: temporaryFolder(), clock });
  const sizes: (number | undefined)[] = [];
  for (const { url } of [other, s3, other, s3])
    sizes.push((await mirrorAt("/x", { objects: bucketAt(url) as ReadObjects, memory }).readIndex())?.size);
  assert.deepEqual(sizes, [there.length, here.length, there.length, here.length]);
});

test("objects have one identity per server, account and name, and none where nothing proves who answers", async (t) => {
  const unchecked = createTransport({ clock, insecureTls: true });
  const plain = createTransport({ clock, plainHttp: true });
  t.after(() => Promise.all([unchecked.close(), plain.close()]));
  const webAt = (url: string, way = transport) =>
    new WebObjects({ url: new URL(url), transport: way, login: undefined }).identity(INDEX);
  const account = { pair: { ...S3_PAIR, id: "other" }, token: undefined, from: "the test" };
  const distinct = [
    bucketAt("https://s3.example").identity(INDEX),
    bucketAt("https://s3.example:444").identity(INDEX),
    bucketAt("https://s3.example/tenant").identity(INDEX),
    bucketAt("https://s3.example", transport, { bucket: "other" }).identity(INDEX),
    bucketAt("https://s3.example", transport, { prefix: "x" }).identity(INDEX),
    bucketAt("https://s3.example", transport, { credentials: account }).identity(INDEX),
    bucketAt("https://s3.example", transport, { endpoint: undefined }).identity(INDEX),
    bucketAt("https://s3.example", transport, { endpoint: undefined, region: "eu-west-1" }).identity(INDEX),
    bucketAt("http://s3.example", plain).identity(INDEX),
    webAt("https://mirror.example"),
    webAt("http://mirror.example", plain),
    webAt("http://127.0.0.1:1/"),
  ];
  assert.ok(!distinct.includes(undefined));
  assert.equal(new Set(distinct).size, distinct.length);
  const none = [
    bucketAt("http://s3.example").identity(INDEX),
    bucketAt("https://s3.example", unchecked).identity(INDEX),
    webAt("http://mirror.example"),
    webAt("https://mirror.example", unchecked),
  ];
  assert.deepEqual(none, [undefined, undefined, undefined, undefined]);
});

test("without an identity an index is neither remembered nor taken from memory", async () => {
  const memory = new DiskCache({ folder: temporaryFolder(), clock });
  const known: boolean[] = [];
  web.intervene = (request, response) => {
    if (!request.url?.endsWith("index.json") || request.url.includes("v3")) return false;
    known.push(request.headers["if-none-match"] !== undefined);
    response.writeHead(200, { etag: '"one"' }).end(bytes);
    return true;
  };
  const read = async (isAuthentic: boolean): Promise<void> => {
    const objects = new WebObjects({ url: new URL(web.url), transport, login: undefined });
    if (!isAuthentic) objects.identity = () => undefined;
    assert.equal((await mirrorAt("/x", { objects, memory }).readIndex())?.size, bytes.length);
  };
  for (const isAuthentic of [false, false, true, false, true]) await read(isAuthentic);
  assert.deepEqual(known, [false, false, false, false, true]);
  web.intervene = undefined;
});
