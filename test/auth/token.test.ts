// Proves that challenges are answered with the right tokens: exchanged once, cached, refreshed, never leaked.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { inspect } from "node:util";
import type { FoundCredential } from "../../lib/auth/credential.ts";
import { Keychain } from "../../lib/auth/keychain.ts";
import { createAuthorizer } from "../../lib/auth/token.ts";
import { createTransport } from "../../lib/http/transport.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { RegistryTarget } from "../../lib/target/registry/registry.ts";
import { bytesSource } from "../../lib/util/stream.ts";
import { connect, jumpingClock } from "../support/client.ts";
import { blobOf, imageOf, pushImage, someBytes } from "../support/content.ts";
import { failsWith } from "../support/errors.ts";
import { type Login, startRegistry } from "../support/registry.ts";

const closing: (() => Promise<unknown> | unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

const me = { username: "me", password: "pass:word/é" };

async function guarded(login: Partial<Login> & { kind: Login["kind"] }) {
  const registry = await startRegistry({ login: { ...me, ...login } });
  closing.push(() => registry.close());
  return registry;
}

function client(...args: Parameters<typeof connect>) {
  const made = connect(...args);
  closing.push(() => made.close());
  return made;
}

/** A target whose keychain always returns the same credential. */
function withCredential(host: string, credential: FoundCredential["credential"]) {
  const clock = jumpingClock();
  const transport = createTransport({ clock });
  closing.push(() => transport.close());
  const keychain = new Keychain({ env: {}, home: "/nonexistent", authfile: "/nonexistent/a.json" });
  keychain.resolve = async () => ({ found: { credential, from: "the test" }, looked: [] });
  const authorizer = createAuthorizer({ transport, keychain, clock });
  return new RegistryTarget({ transport, authorizer, clock, registry: host, repository: "a", scheme: "http" });
}

for (const kind of ["basic", "bearer"] as const)
  test(`${kind}: push and pull, and the login is asked for once`, async () => {
    const registry = await guarded({ kind });
    const { target } = client(registry.host, "a", { login: me });
    await pushImage(target, imageOf(1), "v1");
    assert.equal((await target.headManifest("v1"))?.digest, imageOf(1).descriptor.digest);
    const refused = registry.requests.filter((one) => one.status === 401).length;
    assert.ok(refused <= 2, `${refused} refusals`);
    if (kind === "bearer") assert.ok(registry.tokens.length <= 2, `${registry.tokens.length} tokens`);
  });

test("a challenge without scope is understood, which Spack does not", async () => {
  const registry = await guarded({ kind: "bearer", withoutScope: true });
  await pushImage(client(registry.host, "a", { login: me }).target, imageOf(1), "v1");
});

test("an identity token is exchanged by POST", async () => {
  const registry = await guarded({ kind: "bearer" });
  const target = withCredential(registry.host, { kind: "identity", token: new Secret(me.password) });
  await pushImage(target, imageOf(1), "v1");
  assert.ok(registry.tokens.every((one) => one.method === "POST" && one.body.includes("grant_type=refresh_token")));
});

test("a public repository is read with an anonymous token", async () => {
  const registry = await guarded({ kind: "bearer", publicPull: true });
  await pushImage(client(registry.host, "a", { login: me }).target, imageOf(1), "v1");
  const { target } = client(registry.host, "a");
  assert.ok(await target.headManifest("v1"));
  const error = await failsWith(
    "CREDENTIALS_MISSING",
    target.pushManifest(imageOf(2).bytes, imageOf(2).descriptor.mediaType),
  );
  assert.match(error.message, /push a|pull and push a/);
});

test("no credentials: every place that was looked in is named, and what to type", async () => {
  for (const kind of ["basic", "bearer"] as const) {
    const { host } = await guarded({ kind });
    const error = await failsWith("CREDENTIALS_MISSING", client(host, "a").target.headManifest("v1"));
    assert.match(error.message, /auth\.json/);
    assert.match(error.message, /STAVE_USERNAME/);
    assert.equal(error.hint, `stave login ${host}`);
  }
});

test("wrong credentials are said to be wrong, and never shown", async () => {
  for (const kind of ["basic", "bearer"] as const) {
    const { host } = await guarded({ kind });
    const { target, trace } = client(host, "a", { login: { username: "me", password: "wrong-secret" } });
    const error = await failsWith("CREDENTIALS_REJECTED", target.headManifest("v1"));
    const all = [JSON.stringify(error), error.stack, inspect(error, { depth: 10 }), JSON.stringify(trace)].join("\n");
    const encoded = Buffer.from("me:wrong-secret").toString("base64");
    for (const secret of ["wrong-secret", encoded, "token-"]) assert.ok(!all.includes(secret), `${secret} in ${all}`);
  }
});

test("many who wait share one exchange", async () => {
  const registry = await guarded({ kind: "bearer" });
  const { target } = client(registry.host, "a", { login: me });
  await pushImage(target, imageOf(1), "v1");
  const other = client(registry.host, "a", { login: me }).target;
  registry.tokens.length = 0;
  await Promise.all(Array.from({ length: 50 }, () => other.headManifest("v1")));
  assert.equal(registry.tokens.length, 1);
});

test("a token is replaced before it expires", async () => {
  const registry = await guarded({ kind: "bearer", tokenSeconds: 100 });
  const { target, clock } = client(registry.host, "a", { login: me });
  await pushImage(target, imageOf(1), "v1");
  const before = registry.tokens.length;
  await target.headManifest("v1");
  assert.equal(registry.tokens.length, before);
  const refusals = () => registry.requests.filter((one) => one.status === 401).length;
  const refused = refusals();
  clock.advance(96_000);
  await target.headManifest("v1");
  assert.equal(registry.tokens.length, before + 1);
  assert.equal(refusals(), refused, "no request was sent with a token about to expire");
});

test("a mount asks for both repositories in one token", async () => {
  const registry = await guarded({ kind: "bearer" });
  const blob = blobOf(someBytes(1000));
  await client(registry.host, "from", { login: me }).target.pushBlob(blob.descriptor, bytesSource(blob.bytes));
  const { target } = client(registry.host, "to", { login: me });
  assert.equal(await target.pushBlob(blob.descriptor, bytesSource(blob.bytes), { mountFrom: ["from"] }), "mounted");
  const last = decodeURIComponent(registry.tokens.at(-1)?.url ?? "");
  assert.match(last, /scope=repository:to:pull,push/);
  assert.match(last, /scope=repository:from:pull/);
});

async function tokenService(answer: (url: string) => { status?: number; body: string }, realm?: string) {
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/token")) {
      const { status = 200, body } = answer(request.url);
      response.writeHead(status).end(body);
      return;
    }
    const at = realm ?? `http://${request.headers.host}/token?existing=1`;
    if (request.headers.authorization === "Bearer good") response.writeHead(404).end();
    else response.writeHead(401, { "www-authenticate": [`Bearer realm="${at}",service="s"`, 'Basic realm="x"'] }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("token services: access_token, the realm's own query, several challenges", async () => {
  const urls: string[] = [];
  const host = await tokenService((url) => {
    urls.push(url);
    return { body: '{"access_token":"good"}' };
  });
  assert.equal(await client(host, "a").target.headManifest("v1"), undefined);
  assert.match(urls[0] ?? "", /existing=1.*service=s.*scope=repository%3Aa%3Apull.*client_id=stave/);
});

test("token services that answer nonsense", async () => {
  for (const body of ["", "{}", "[]", '{"token":""}', '{"token":"a\\nb"}', '{"token":5}', "x".repeat(100)]) {
    const error = await failsWith(
      "REGISTRY_ERROR",
      client(await tokenService(() => ({ body })), "a").target.headManifest("v1"),
    );
    assert.match(error.message, /sent no token/);
  }
  await failsWith(
    "TOO_LARGE",
    client(await tokenService(() => ({ body: "x".repeat(3e6) })), "a").target.headManifest("v1"),
  );
});

test("a token service that is reached in the clear is refused before anything is told", async () => {
  const host = await tokenService(() => ({ body: "{}" }), "http://tokens.example.org/");
  const error = await failsWith("DENIED", client(host, "a", { login: me }).target.headManifest("v1"));
  assert.match(error.message, /without https/);
});

test("a login of an unknown kind", async () => {
  const server = createServer((_request, response) =>
    response.writeHead(401, { "www-authenticate": "Negotiate" }).end(),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  await failsWith(
    "UNSUPPORTED",
    client(`127.0.0.1:${(server.address() as AddressInfo).port}`, "a").target.headManifest("v1"),
  );
});
