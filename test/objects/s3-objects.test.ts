// Mirrors in buckets: what an S3 server is asked for, and what its answers mean.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { registerHooks } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { bucketPlace } from "../../lib/api/places/bucket-place.ts";
import { checkIndex, updateIndex } from "../../lib/cache/index-update.ts";
import { MirrorCache } from "../../lib/cache/mirror/mirror-cache.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { createTransport } from "../../lib/http/transport.ts";
import type { Transport } from "../../lib/http/types.ts";
import { sendParts } from "../../lib/objects/s3/multipart.ts";
import { S3Client } from "../../lib/objects/s3/s3-client.ts";
import { S3Objects } from "../../lib/objects/s3/s3-objects.ts";
import type { S3Place } from "../../lib/objects/s3/s3-settings.ts";
import { s3Url } from "../../lib/objects/s3/s3-settings.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { sync } from "../../lib/ops/sync/sync.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { systemClock } from "../../lib/util/time.ts";
import { failsWith } from "../support/errors.ts";
import { goldenMirror, mirrorAt } from "../support/mirrors.ts";
import { S3_PAIR, startS3, type TestS3, TOKEN } from "../support/s3-server.ts";
import { temporaryFolder } from "../support/tree.ts";

let server: TestS3;
let transport: Transport;
before(async () => {
  server = await startS3();
  transport = createTransport({ clock: systemClock, retry: { attempts: 2, milliseconds: 2000 } });
});
after(async () => {
  await transport.close();
  await server.close();
});
beforeEach(() => {
  server.objects.clear();
  server.requests.length = 0;
  Object.assign(server, { page: 1000, isPublic: false, ignoresConditions: false, region: "us-east-1", dialect: "s3" });
  server.intervene = undefined;
});

const credentials = { pair: S3_PAIR, token: undefined, from: "the test" };
const DIALECTS = ["s3", "gs"] as const;
const placeWith = (more: Partial<S3Place> = {}): S3Place => ({
  ...{
    dialect: server.dialect,
    bucket: "cache",
    prefix: "team",
    endpoint: new URL(server.url),
    region: "us-east-1",
    credentials,
  },
  ...more,
});
const objects = (more: Partial<S3Place> = {}, clock = systemClock): S3Objects =>
  new S3Objects({ place: placeWith(more), name: "s3://cache/team", transport, clock, scratch: temporaryFolder() });
const put = (to: S3Objects, key: string, text: string): Promise<void> =>
  to.write(key, bytesSource(Buffer.from(text)), digestOf(text));

test("streams of unknown length that are there are not sent again", async () => {
  const to = objects();
  const text = "x".repeat(300_000);
  const store = () => to.writeStream(Readable.from([Buffer.from(text)]), (digest) => `blobs/${digest.slice(7)}`);
  const [first, second] = [await store(), await store()];
  assert.deepEqual([first, second.digest], [{ digest: digestOf(text), size: text.length }, digestOf(text)]);
  assert.equal(server.requests.filter((request) => request.startsWith("PUT")).length, 1);
});

test("the parts of a failed upload are forgotten by the server", async () => {
  const client = new S3Client(placeWith(), transport, systemClock);
  const upload = { partSize: 5000, what: "store it", signal: undefined };
  const source = { size: 9000, open: () => Readable.from(Array.from({ length: 9 }, () => Buffer.alloc(1000))) };
  server.intervene = (request, response) => {
    if (!request.url?.includes("partNumber=2")) return false;
    response.writeHead(400).end("<Error><Code>EntityTooLarge</Code></Error>");
    return true;
  };
  await failsWith("TOO_LARGE", sendParts(client, { ...upload, key: "team/other", source }));
  assert.match(server.requests.at(-1) ?? "", /^DELETE .*uploadId=/);
});

for (const dialect of DIALECTS)
  test(`${dialect}: a server that ignores conditions is found out`, async () => {
    server.dialect = dialect;
    server.ignoresConditions = true;
    const old = objects();
    assert.equal(await old.replace("index", Buffer.from("3"), "1"), false);
    assert.deepEqual([...server.objects.keys()], ["cache/team/index"]);
  });

const refusals: { name: string; change: () => S3Objects; code: ErrorCode; says: RegExp; hint?: RegExp }[] = [
  {
    name: "a wrong secret",
    change: () => objects({ credentials: { ...credentials, pair: { ...S3_PAIR, secret: new Secret("no") } } }),
    code: "CREDENTIALS_REJECTED",
    says: /SignatureDoesNotMatch/,
    hint: /AWS_ACCESS_KEY_ID/,
  },
  {
    name: "an unknown key",
    change: () => objects({ credentials: { ...credentials, pair: { ...S3_PAIR, id: "other" } } }),
    code: "CREDENTIALS_REJECTED",
    says: /InvalidAccessKeyId/,
  },
  { name: "no credentials", change: () => objects({ credentials: undefined }), code: "DENIED", says: /AccessDenied/ },
  {
    name: "a bucket that is not there",
    change: () => objects({ bucket: "none" }),
    code: "NOT_FOUND",
    says: /NoSuchBucket/,
    hint: /bucket/,
  },
  {
    name: "a wrong clock",
    change: () => objects({}, { ...systemClock, now: () => Date.now() - 3_600_000 }),
    code: "CREDENTIALS_REJECTED",
    says: /RequestTimeTooSkewed/,
    hint: /clock/,
  },
];
for (const { name, change, code, says, hint } of refusals)
  test(`${name} is ${code}, never an absent file`, async () => {
    const error = await failsWith(code, change().read("v3/layout.json", 100), says);
    if (hint) assert.match(error.hint ?? "", hint);
    await failsWith(code, Array.fromAsync(change().list("v3/")));
    assert.ok(!JSON.stringify(error).includes(S3_PAIR.secret.reveal()));
  });

test("a refused question about a file is an error even without an explanation", async () => {
  server.intervene = (_request, response) => {
    response.writeHead(403).end();
    return true;
  };
  await failsWith("DENIED", objects().look("v3/layout.json"), /403/);
});

test("a server that does not name the right region is an error that says what to set", async () => {
  for (const [status, code] of [
    [400, "AuthorizationHeaderMalformed"],
    [301, "PermanentRedirect"],
  ] as const) {
    server.intervene = (request, response) => {
      const text = `<Error><Code>${code}</Code><Message>wrong region</Message></Error>`;
      response.writeHead(status).end(request.method === "HEAD" ? undefined : text);
      return true;
    };
    for (const ask of [() => objects().read("a", 9), () => objects().look("a")])
      assert.match((await failsWith("REGISTRY_ERROR", ask())).hint ?? "", /AWS_REGION/);
  }
});

test("the region that the server names is used from then on, and public buckets need no credentials", async () => {
  server.region = "eu-north-1";
  const to = objects();
  await put(to, "a", "1");
  await put(to, "b", "2");
  assert.equal(server.requests.length, 3);
  // Of requests at once, all but the first learn of the region while they are under way.
  const other = objects();
  const texts = await Promise.all(["a", "b", "a", "b"].map((key) => other.read(key, 9)));
  assert.equal(texts.map((found) => found?.bytes.toString()).join(""), "1212");
  server.isPublic = true;
  assert.equal((await objects({ credentials: undefined }).read("a", 9))?.bytes.toString(), "1");
});

test("a list that does not end, or is no list, is an error", async () => {
  await put(objects(), "v3/a", "1");
  server.intervene = (request, response) => {
    if (!request.url?.includes("list-type")) return false;
    response.end(
      "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>team/v3/a</Key></Contents><NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
    );
    return true;
  };
  await failsWith("REGISTRY_ERROR", Array.fromAsync(objects().list("v3/")), /does not end/);
  server.intervene = (_request, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>hello</html>");
    return true;
  };
  await failsWith("REGISTRY_ERROR", Array.fromAsync(objects().list("v3/")), /web page/);
  await failsWith("REGISTRY_ERROR", objects().look("v3/a"), /web page/);
});

test("damaged content is refused by the server, and sent again after a failure", async () => {
  const to = objects();
  const source = { size: 4, open: () => Readable.from([Buffer.from("evil")]) };
  await failsWith("DIGEST_MISMATCH", to.write("a", source, digestOf("good")), /XAmzContentSHA256Mismatch/);
  assert.equal(server.objects.size, 0);
  let failures = 1;
  server.intervene = (_request, response) => {
    if (failures-- <= 0) return false;
    response.writeHead(503).end();
    return true;
  };
  await put(to, "a", "good");
  assert.equal(server.objects.get("cache/team/a")?.bytes.toString(), "good");
});

const cacheAt = (): MirrorCache => new MirrorCache({ objects: objects(), signatures: undefined, isWritten: true });

for (const dialect of DIALECTS)
  test(`${dialect}: an update of an index costs a list and what is new`, async () => {
    server.dialect = dialect;
    await sync(mirrorAt(await goldenMirror(3)), cacheAt(), { jobs: 4, now: Date.now() });
    server.requests.length = 0;
    assert.equal((await updateIndex(cacheAt(), { full: true })).specs, 8);
    const kinds = server.requests.map((request) => request.replace(/[?/].*list-type.*/, " list").split(" ")[0]);
    // Two per spec, one page, and the index: its manifest twice, its blob, and whether it has an index at all.
    assert.ok(kinds.length <= 8 * 2 + 1 + 6, server.requests.join("\n"));
    server.requests.length = 0;
    assert.equal((await updateIndex(cacheAt())).isWritten, false);
    assert.ok(server.requests.length <= 4, server.requests.join("\n"));
  });

for (const dialect of DIALECTS)
  test(`${dialect}: between buckets of one server the server copies archives, and keys travel`, async () => {
    server.dialect = dialect;
    const golden = mirrorAt(await goldenMirror(3));
    const options = { jobs: 4, now: Date.now() };
    await sync(golden, cacheAt(), options);
    const other = objects({ prefix: "other+one" });
    const to = new MirrorCache({ objects: other, signatures: undefined, isWritten: true });
    server.requests.length = 0;
    const report = await sync(cacheAt(), to, options);
    assert.deepEqual([report.failures, report.sentBytes, report.keys.length], [[], 0, 1]);
    assert.deepEqual(new Set(report.specs.map(({ outcome }) => outcome)), new Set(["linked"]));
    const archives = new Set<string>();
    for (const { tag } of report.specs) {
      const spec = await to.fetchSpec(tag);
      archives.add(spec.archive.digest.slice(7));
      for await (const _ of await to.blobsOf(spec).fetchBlob(spec.archive));
    }
    const read = server.requests.filter(
      (request) => request.startsWith("GET /cache/team/") && archives.has(request.split("/").at(-1) ?? ""),
    );
    assert.deepEqual(read, []);
    assert.deepEqual(await to.keys(), await golden.keys());
  });

for (const [dialect, ignoresConditions] of DIALECTS.flatMap((each) => [[each, false] as const, [each, true] as const]))
  test(`${dialect}: writers of an index at once lose nothing${ignoresConditions ? ", even where conditions are ignored" : ""}`, async () => {
    server.dialect = dialect;
    server.ignoresConditions = ignoresConditions;
    const golden = mirrorAt(await goldenMirror(3));
    const nodes = [...((await golden.readIndex())?.records.values() ?? [])].filter(({ inBuildcache }) => inBuildcache);
    await Promise.all(
      nodes.map(async ({ hash, name, version }) => {
        const { document } = await golden.fetchSpec(`${name}-${version}-${hash}.spack`);
        await sync(golden, cacheAt(), { jobs: 1, now: Date.now(), nodes: [document.root] });
      }),
    );
    const { isCurrent, specs } = await checkIndex(cacheAt());
    assert.deepEqual([isCurrent, specs], [true, 8]);
  });

test("a size that the server does not tell is unknown, not 0", async () => {
  server.intervene = (_request, response) => {
    response.writeHead(200, { "transfer-encoding": "chunked" }).end();
    return true;
  };
  assert.deepEqual(await objects().look("a"), { key: "a", size: undefined, modified: undefined });
});

test("only Amazon's own buckets are in the name of the host", () => {
  const url = (more: Partial<S3Place>): string => s3Url(placeWith(more), "a+b/c").href;
  assert.equal(url({ endpoint: undefined }), "https://cache.s3.amazonaws.com/a%2Bb/c");
  assert.equal(url({ endpoint: undefined, region: "eu-west-1" }), "https://cache.s3.eu-west-1.amazonaws.com/a%2Bb/c");
  assert.equal(
    url({ endpoint: undefined, region: "cn-north-1" }),
    "https://cache.s3.cn-north-1.amazonaws.com.cn/a%2Bb/c",
  );
  assert.equal(url({ endpoint: undefined, bucket: "a.b" }), "https://s3.amazonaws.com/a.b/a%2Bb/c");
  assert.equal(url({ endpoint: new URL("https://minio.example/s3/") }), "https://minio.example/s3/cache/a%2Bb/c");
});

test("credentials come from the mirror, the environment or a profile, and there may be none", async () => {
  const home = temporaryFolder();
  mkdirSync(join(home, ".aws"));
  writeFileSync(
    join(home, ".aws/credentials"),
    "[default]\naws_access_key_id = D\naws_secret_access_key=S\n[dev]\naws_access_key_id = V\naws_secret_access_key=T\naws_session_token=K\n",
  );
  writeFileSync(
    join(home, ".aws/config"),
    "[profile dev]\nregion = eu-west-3\nendpoint_url = http://dev.example\ns3 =\n  addressing_style = path\n[profile sso]\nsso_session = x\n",
  );
  const none = { pair: undefined, token: undefined, profile: undefined, endpointUrl: undefined, missing: [] };
  const ask = async (env: Record<string, string>, more = {}) => {
    const around = { env, home, cwd: home, clock: systemClock } as never;
    const {
      credentials: found,
      region,
      endpoint,
    } = await bucketPlace({ scheme: "s3", bucket: "b", prefix: "" }, { ...none, ...more }, around);
    return [found?.pair?.id, found?.pair?.secret.reveal(), found?.token?.reveal(), region, endpoint?.href];
  };
  const mine = { pair: { id: "M", secret: new Secret("N") }, token: new Secret("O"), endpointUrl: "minio.example" };
  assert.deepEqual(await ask({ AWS_ACCESS_KEY_ID: "E" }, mine), ["M", "N", "O", "us-east-1", "https://minio.example/"]);
  const env = { AWS_ACCESS_KEY_ID: "E", AWS_SECRET_ACCESS_KEY: "F", AWS_REGION: "r", S3_ENDPOINT_URL: "http://h:1" };
  assert.deepEqual(await ask(env), ["E", "F", undefined, "r", "http://h:1/"]);
  assert.deepEqual(await ask({}), ["D", "S", undefined, "us-east-1", undefined]);
  assert.deepEqual(await ask({ AWS_PROFILE: "dev" }), ["V", "T", "K", "eu-west-3", "http://dev.example/"]);
  assert.deepEqual(await ask(env, { profile: "dev" }), ["V", "T", "K", "r", "http://h:1/"]);
  await failsWith("CREDENTIALS_MISSING", ask({ AWS_PROFILE: "other" }), /no AWS profile named other/);
  await failsWith("CREDENTIALS_MISSING", ask({ AWS_PROFILE: "sso" }), /need the package @aws-sdk/);
  const empty = { ...none };
  const around = { env: {}, home: temporaryFolder(), cwd: home, clock: systemClock } as never;
  assert.equal((await bucketPlace({ scheme: "s3", bucket: "b", prefix: "" }, empty, around)).credentials, undefined);
});

test("the role of a machine is asked for if the library for it is installed, and public buckets need none", async () => {
  const library = join(temporaryFolder(), "library.mjs");
  writeFileSync(
    library,
    `export const fromNodeProviderChain = () => async () => {
  if (globalThis.staveTestRole === undefined) throw new Error("no role");
  return { accessKeyId: globalThis.staveTestRole, secretAccessKey: "S", sessionToken: "T" };
};
`,
  );
  const hooks = registerHooks({
    resolve: (name, context, next) =>
      name === "@aws-sdk/credential-providers"
        ? { url: pathToFileURL(library).href, format: "module", shortCircuit: true }
        : next(name, context),
  });
  try {
    const ask = async (env: Record<string, string> = {}) => {
      const none = { pair: undefined, token: undefined, profile: undefined, endpointUrl: undefined, missing: [] };
      const around = { env, home: temporaryFolder(), cwd: "/", clock: systemClock } as never;
      const place = await bucketPlace({ scheme: "s3", bucket: "b", prefix: "" }, none, around);
      return [place.credentials?.pair?.id, place.credentials?.token?.reveal()];
    };
    assert.deepEqual(await ask(), [undefined, undefined]);
    Object.assign(globalThis, { staveTestRole: "ROLE" });
    assert.deepEqual(await ask(), ["ROLE", "T"]);
    assert.deepEqual(await ask({ S3_ENDPOINT_URL: "http://minio.example" }), [undefined, undefined]);
  } finally {
    Object.assign(globalThis, { staveTestRole: undefined });
    hooks.deregister();
  }
});

test("Google Cloud Storage takes a key pair, an access token, or nothing for public buckets", async () => {
  server.dialect = "gs";
  await put(objects(), "x", "text");
  const withToken = objects({ credentials: { pair: undefined, token: new Secret(TOKEN), from: "the test" } });
  assert.equal((await withToken.read("x", 9))?.bytes.toString(), "text");
  const old = { pair: undefined, token: new Secret("old"), from: "the test" };
  await failsWith("CREDENTIALS_REJECTED", objects({ credentials: old }).read("x", 9), /did not accept the token/);
  const wrong = { ...credentials, pair: { ...S3_PAIR, secret: new Secret("no") } };
  await failsWith("CREDENTIALS_REJECTED", objects({ credentials: wrong }).read("x", 9), /SignatureDoesNotMatch/);
  await failsWith("DENIED", objects({ credentials: undefined }).read("x", 9), /AccessDenied/);
  server.isPublic = true;
  assert.equal((await objects({ credentials: undefined }).read("x", 9))?.bytes.toString(), "text");
});

test("an access token goes to no other server, and not over plain http", async () => {
  const seen: (string | undefined)[] = [];
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.end("text");
  });
  await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
  try {
    server.dialect = "gs";
    server.intervene = (request, response) => {
      seen.push(request.headers.authorization);
      const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x`;
      response.writeHead(302, { location }).end();
      return true;
    };
    const token = { credentials: { pair: undefined, token: new Secret(TOKEN), from: "the test" } };
    assert.equal((await objects(token).read("x", 9))?.bytes.toString(), "text");
    assert.deepEqual(seen, [`Bearer ${TOKEN}`, undefined]);
    const remote = objects({ ...token, endpoint: new URL("http://gs.invalid") });
    await failsWith("DENIED", remote.read("x", 9), /would be sent over plain http/);
  } finally {
    other.close();
  }
});

test("the place of a bucket of Google Cloud Storage comes from the mirror or the environment", async () => {
  const ask = async (env: Record<string, string>, more = {}) => {
    const none = { pair: undefined, token: undefined, profile: undefined, endpointUrl: undefined, missing: [] };
    const around = { env, home: temporaryFolder(), cwd: "/", clock: systemClock } as never;
    const place = await bucketPlace({ scheme: "gs", bucket: "b", prefix: "p" }, { ...none, ...more }, around);
    return [s3Url(place, "k").href, place.credentials?.pair?.id, place.credentials?.token?.reveal()];
  };
  const google = "https://storage.googleapis.com/b/k";
  assert.deepEqual(await ask({ AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "B" }), [google, undefined, undefined]);
  assert.deepEqual(await ask({ GS_ACCESS_KEY_ID: "G", GS_SECRET_ACCESS_KEY: "H" }), [google, "G", undefined]);
  assert.deepEqual(await ask({ CLOUDSDK_AUTH_ACCESS_TOKEN: "T" }), [google, undefined, "T"]);
  assert.deepEqual(await ask({ GS_ENDPOINT_URL: "http://h:1" }), ["http://h:1/b/k", undefined, undefined]);
  const mine = { pair: { id: "M", secret: new Secret("N") }, endpointUrl: "gs.example" };
  assert.deepEqual(await ask({ GS_ACCESS_KEY_ID: "G", GS_SECRET_ACCESS_KEY: "H" }, mine), [
    ...["https://gs.example/b/k", "M", undefined],
  ]);
});

test("an answer without content may be of any type, but a web page is no answer of an S3 server", async () => {
  for (const [headers, body, isFine] of [
    [{ etag: '"x"', "content-type": "text/html; charset=utf-8", "content-length": "0" }, "", true],
    [{ "content-type": "text/html" }, "<html>log in</html>", false],
  ] as const) {
    server.intervene = (request, response) => {
      if (request.method !== "PUT") return false;
      response.writeHead(200, headers).end(body);
      return true;
    };
    if (isFine) await put(objects(), "a", "text");
    else await failsWith("REGISTRY_ERROR", put(objects(), "a", "text"), /web page/);
  }
});
