// Proves that `stave prune` deletes through GitHub's packages API where the registry refuses to, and only what it may.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { githubApi } from "../../lib/api/places/github-api.ts";
import { updateIndex } from "../../lib/cache/index-update.ts";
import { OciCache } from "../../lib/cache/oci-cache.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { LayoutTarget } from "../../lib/target/layout/layout.ts";
import { systemClock } from "../../lib/util/time.ts";
import { madeSpec, pushSpec } from "../support/caches.ts";
import { type Ran, stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { startRegistry } from "../support/registry.ts";
import { temporaryFolder } from "../support/tree.ts";

// GitHub's registry answers every deletion so.
const registry = await startRegistry({
  rules: [
    { method: "DELETE", path: /\/manifests\//, fault: { status: 405, body: '{"errors":[{"code":"UNSUPPORTED"}]}' } },
  ],
});
const closing: (() => void)[] = [];
after(async () => {
  for (const close of closing) close();
  await registry.close();
});

const TOKEN = "ghp_token";
interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

function manifestsIn(layout: string): string[] {
  const folder = join(layout, "blobs/sha256");
  const isManifest = (name: string): boolean => readFileSync(join(folder, name), "latin1").startsWith('{"');
  const texts = readdirSync(folder).filter((name) => /^[0-9a-f]{64}$/.test(name) && isManifest(name));
  return texts
    .filter((name) => readFileSync(join(folder, name), "utf8").includes('"schemaVersion"'))
    .map((name) => `sha256:${name}`);
}

/** A packages API over the registry: one version per manifest, of a package that a person owns. */
async function packagesApi(repository: string, faults: Answer[] = []) {
  const [owner = "", ...rest] = repository.split("/");
  const at = `/users/${owner}/packages/container/${encodeURIComponent(rest.join("/"))}/versions`;
  const requests: string[] = [];
  const deleted: string[] = [];
  const ids = new Map<string, number>();
  const target = await LayoutTarget.open(join(registry.directory, repository), { clock: systemClock, create: false });
  const send = (response: ServerResponse, { status, headers = {}, body = "" }: Answer): void => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
  };
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return send(response, { status: 401 });
    const url = new URL(request.url ?? "", "http://x");
    if (!request.url?.startsWith(at)) return send(response, { status: 404, body: '{"message":"Not Found"}' });
    const fault = request.method === "DELETE" ? faults.shift() : undefined;
    if (fault !== undefined) return send(response, fault);
    if (request.method === "GET") {
      // Others come first, so that the images are on the second page.
      const all = Array.from({ length: 100 }, (_, id) => ({
        id: id + 1,
        name: `sha256:${String(id).padStart(64, "0")}`,
      }));
      for (const digest of manifestsIn(join(registry.directory, repository))) {
        ids.set(digest, ids.get(digest) ?? 1000 + ids.size);
        all.push({ id: ids.get(digest) ?? 0, name: digest });
      }
      const [size, page] = [Number(url.searchParams.get("per_page")), Number(url.searchParams.get("page"))];
      return send(response, { status: 200, body: JSON.stringify(all.slice((page - 1) * size, page * size)) });
    }
    const digest = [...ids].find(([, id]) => request.url?.endsWith(`/${id}`))?.[0] ?? "";
    deleted.push(digest);
    await target.deleteManifest(digest);
    return send(response, { status: 204 });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  closing.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, deleted };
}

const [lib, tool] = [madeSpec("lib", "1.0"), madeSpec("tool", "1.0")];
const [app, stale] = [madeSpec("app", "1.0", [lib]), madeSpec("stale", "1.0", [lib, tool])];
const KEEP = join(temporaryFolder(), "keep");
writeFileSync(KEEP, `${app.root.hash}\n`);

/** A cache with four specs, two of which are not kept. */
async function filled(repository: string) {
  const { target, close } = connect(registry.host, repository);
  closing.push(() => void close());
  const tags = new Map<string, string>();
  for (const spec of [lib, tool, app, stale]) tags.set(spec.root.name, await pushSpec(target, spec));
  const cache = new OciCache(target);
  await updateIndex(cache);
  const digestOf = async (name: string): Promise<string> =>
    (await target.headManifest(tags.get(name) ?? name))?.digest ?? "gone";
  return { target, cache, digestOf, tags };
}

/** Prunes with the token of a login. */
async function prune(repository: string, args: string[], login: Record<string, string> = {}): Promise<Ran> {
  const env = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "me", STAVE_PASSWORD: TOKEN, ...login };
  return await stave(["prune", `oci+http://${registry.host}/${repository}`, "-k", KEEP, "--grace", "0s", ...args], {
    env,
  });
}

test("specs are deleted as versions of the package, with what refers to them, and nothing else is", async () => {
  const { target, cache, digestOf, tags } = await filled("me/cache/deep");
  const [gone, other, kept] = [await digestOf("stale"), await digestOf("tool"), await digestOf("app")];
  const { bytes } = await target.fetchManifest(tags.get("lib") ?? "");
  const subject = await target.headManifest(tags.get("stale") ?? "");
  const signature = { ...JSON.parse(bytes.toString()), subject, artifactType: "application/x.signature" };
  const { descriptor } = await target.pushManifest(canonicalBytes(signature), OCI_MANIFEST);
  const api = await packagesApi("me/cache/deep");

  const dry = await prune("me/cache/deep", ["--github-api", api.url]);
  assert.match(dry.stdout, /would remove 2 specs; 2 kept/, dry.stderr);
  assert.deepEqual(api.requests, []);

  const done = await prune("me/cache/deep", ["--github-api", api.url, "--yes", "--json"]);
  assert.equal(done.status, 0, done.stdout + done.stderr);
  const { report } = JSON.parse(done.stdout);
  assert.deepEqual([report.removed, report.kept, report.isUnsupported], [2, 2, false]);
  assert.deepEqual(api.deleted.toSorted(), [descriptor.digest, gone, other].toSorted());
  assert.deepEqual([...(await cache.list()).specs.values()].map(({ name }) => name).sort(), ["app", "lib"]);
  assert.equal(await digestOf("app"), kept);
  // First the organisation of that name, then the person; the second page has the images.
  const at = "packages/container/cache%2Fdeep/versions?per_page=100&page=";
  assert.deepEqual(api.requests.slice(0, 3), [`GET /orgs/me/${at}1`, `GET /users/me/${at}1`, `GET /users/me/${at}2`]);
});

test("an image that an index of another tag contains stays", async () => {
  const { target, digestOf, tags } = await filled("me/joined");
  const { bytes } = await target.fetchManifest(tags.get("stale") ?? "");
  const platforms = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [describe(bytes, OCI_MANIFEST)] };
  const inner = canonicalBytes(platforms);
  await target.pushManifest(inner, OCI_INDEX, {});
  const outer = canonicalBytes({ ...platforms, manifests: [describe(inner, OCI_INDEX)] });
  await target.pushManifest(outer, OCI_INDEX, { tag: "release" });
  const api = await packagesApi("me/joined");
  const ran = await prune("me/joined", ["--github-api", api.url, "--yes", "--json"]);
  assert.equal(JSON.parse(ran.stdout).report.removed, 1, ran.stderr);
  assert.notEqual(await digestOf("stale"), "gone");
  assert.equal(await digestOf("tool"), "gone");
});

test("limits on requests are waited for, in each of GitHub's forms", async () => {
  const { digestOf } = await filled("me/slow");
  const secondary = '{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}';
  const reset = Math.floor(Date.now() / 1000) + 1;
  const api = await packagesApi("me/slow", [
    { status: 403, headers: { "retry-after": "1" }, body: secondary },
    { status: 429, headers: { "retry-after": "1" }, body: "{}" },
    {
      status: 403,
      headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(reset) },
      body: '{"message":"API rate limit exceeded for user ID 1."}',
    },
  ]);
  const ran = await prune("me/slow", ["--github-api", api.url, "--yes"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(await digestOf("stale"), "gone");
  assert.equal(api.requests.filter((line) => line.startsWith("DELETE")).length, 5);
});

const FAILURES: { name: string; fault: Answer; status: number; says: RegExp }[] = [
  {
    name: "a token without the scope",
    fault: { status: 403, body: '{"message":"Must have admin rights."}' },
    status: 3,
    says: /DENIED[\s\S]*hint: .*read:packages and delete:packages/,
  },
  {
    name: "the last tagged version",
    fault: { status: 400, body: '{"message":"You cannot delete the last tagged version of a package. \\u001b[31m"}' },
    status: 3,
    says: /does not delete sha256:.*You cannot delete the last tagged version of a package\. \\u001b/,
  },
  {
    name: "an answer that is none",
    fault: { status: 404, body: "<html>" },
    status: 3,
    says: /does not let this token/,
  },
];
for (const [at, { name, fault, status, says }] of FAILURES.entries())
  test(`${name}: nothing is lost, and the index lists what stays`, async () => {
    const repository = `me/fails-${at}`;
    const { cache, digestOf } = await filled(repository);
    const api = await packagesApi(repository, [fault]);
    const ran = await prune(repository, ["--github-api", api.url, "--yes"]);
    assert.equal(ran.status, status, ran.stdout + ran.stderr);
    assert.match(ran.stderr, says);
    assert.deepEqual(api.deleted, []);
    assert.notEqual(await digestOf("stale"), "gone");
    const index = await cache.readIndex();
    assert.equal([...(index?.records.values() ?? [])].filter(({ inBuildcache }) => inBuildcache).length, 4);
  });

test("without a login, or with a token that is not accepted, the next step is named", async () => {
  await filled("me/login");
  const api = await packagesApi("me/login");
  const none = await prune("me/login", ["--github-api", api.url, "--yes"], { STAVE_REGISTRY: "other" });
  assert.match(none.stderr, /needs the token with which you log in[\s\S]*hint: stave login/);
  const wrong = await prune("me/login", ["--github-api", api.url, "--yes"], { STAVE_PASSWORD: "wrong" });
  assert.equal(wrong.status, 3);
  assert.match(wrong.stderr, /did not accept the token[\s\S]*delete:packages/);
  assert.ok(!(wrong.stderr + none.stderr).includes(TOKEN));
});

test("a registry of others never gets its token sent to GitHub", async () => {
  await filled("me/foreign");
  const api = await packagesApi("me/foreign");
  const variables = { GITHUB_API_URL: api.url, GITHUB_SERVER_URL: "https://github.example.com", GITHUB_TOKEN: TOKEN };
  const ran = await prune("me/foreign", ["--yes"], variables);
  assert.equal(ran.status, 6);
  assert.match(ran.stderr, /does not support deletion/);
  assert.deepEqual(api.requests, []);
});

test("delete removes manifests through the API, and says that tags cannot be deleted alone", async () => {
  const { digestOf } = await filled("me/single");
  const api = await packagesApi("me/single");
  const env = { STAVE_REGISTRY: registry.host, STAVE_USERNAME: "me", STAVE_PASSWORD: TOKEN };
  const digest = await digestOf("stale");
  const image = `oci+http://${registry.host}/me/single`;
  const args = ["--yes", "--github-api", api.url];
  const ran = await stave(["delete", `${image}@${digest}`, `${image}@${await digestOf("tool")}`, ...args], { env });
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual([api.deleted.length, await digestOf("stale"), await digestOf("tool")], [2, "gone", "gone"]);
  const tag = await stave(["delete", `${image}:index-v1.2.spack`, ...args], { env });
  assert.notEqual(tag.status, 0);
  assert.equal(api.deleted.length, 2);
});

test("the API of a registry", async () => {
  const of = (host: string, named?: string, env: Record<string, string> = {}) => githubApi(host, named, { env });
  const enterprise = { GITHUB_SERVER_URL: "https://git.site.edu", GITHUB_API_URL: "https://git.site.edu/api/v3/" };
  assert.equal(of("ghcr.io"), "https://api.github.com");
  assert.equal(of("ghcr.io", undefined, enterprise), "https://api.github.com");
  assert.equal(of("containers.git.site.edu", undefined, enterprise), "https://git.site.edu/api/v3");
  assert.equal(of("containers.git.site.edu"), undefined);
  assert.equal(of("git.site.edu", undefined, enterprise), undefined);
  assert.equal(of("quay.io", undefined, enterprise), undefined);
  assert.equal(of("x.org", "https://x.org/api/v3/"), "https://x.org/api/v3");
  for (const wrong of ["x.org", "file:///x", "https://me@x.org", "https://:secret@x.org", "https://x.org?a"]) {
    await failsWith("USAGE", () => of("x.org", wrong));
    const broken = { ...enterprise, GITHUB_API_URL: wrong };
    await failsWith("USAGE", () => of("containers.git.site.edu", undefined, broken));
  }
});
