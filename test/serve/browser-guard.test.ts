// Proves that pages of other sites cannot change a registry, that DNS rebinding does not make them its own, and that
// the names and headers of real clients go on working.
import assert from "node:assert/strict";
import { type OutgoingHttpHeaders, request } from "node:http";
import { after, test } from "node:test";
import { createRegistry, type RegistryOptions } from "../../lib/serve/registry-server.ts";
import { temporaryFolder } from "../support/tree.ts";

type Answer = Readonly<{ status: number; headers: Record<string, unknown>; text: string }>;

async function started(listenOn: string, more: Partial<RegistryOptions> = {}): Promise<number> {
  const registry = await createRegistry({ directory: temporaryFolder(), ...more });
  after(() => registry.close());
  return (await registry.listen({ host: listenOn, port: 0 })).port;
}

function ask(port: number, method: string, path: string, headers: OutgoingHttpHeaders): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    asking.on("error", reject);
    asking.end();
  });
}

const local = await started("127.0.0.1", { hosts: ["Registry.example.com"] });
const everywhere = await started("0.0.0.0");

const NAMES: { name: string; at: number; host: string; status: number }[] = [
  ...["localhost", "LOCALHOST:5000", "localhost.", "127.0.0.1", "127.0.0.1:5000", "[::1]:5000", "[::1]"].map(
    (host) => ({
      ...{ name: `the own name ${host}`, at: local, host, status: 200 },
    }),
  ),
  ...["a.localhost", "host.docker.internal:5000", "host.containers.internal", "192.168.1.7:5000"].map((host) => ({
    ...{ name: `${host}, which no other site can have`, at: local, host, status: 200 },
  })),
  { name: "a name that was allowed", at: local, host: "registry.EXAMPLE.com", status: 200 },
  ...["evil.example", "evil.example:5000", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost"].map(
    (host) => ({ name: `the name of another site: ${host}`, at: local, host, status: 403 }),
  ),
  { name: "any name, if other machines are served", at: everywhere, host: "build-host.example", status: 200 },
];
for (const { name, at, host, status } of NAMES)
  test(`a client that uses ${name} gets ${status}`, async () => {
    for (const path of ["/v2/", "/v2/_catalog"]) assert.equal((await ask(at, "GET", path, { host })).status, status);
  });

const WRITES: { name: string; headers: OutgoingHttpHeaders; refused: boolean }[] = [
  { name: "no browser", headers: {}, refused: false },
  { name: "the address bar or an extension", headers: { "sec-fetch-site": "none" }, refused: false },
  { name: "a page of the server", headers: { "sec-fetch-site": "same-origin" }, refused: false },
  { name: "a page of the server, by its origin", headers: { origin: "http://localhost:5000" }, refused: false },
  {
    name: "a page of the server, behind a proxy",
    headers: { origin: "https://registry.example.com", "sec-fetch-site": "same-origin" },
    refused: false,
  },
  { name: "another site", headers: { "sec-fetch-site": "cross-site" }, refused: true },
  { name: "another port of this machine", headers: { "sec-fetch-site": "same-site" }, refused: true },
  { name: "another origin", headers: { origin: "https://evil.example" }, refused: true },
  { name: "another port, by its origin", headers: { origin: "http://localhost:3000" }, refused: true },
  { name: "a frame without origin", headers: { origin: "null" }, refused: true },
];
for (const { name, headers, refused } of WRITES)
  test(`writes that come from ${name} are ${refused ? "refused" : "admitted"}`, async () => {
    for (const at of [local, everywhere]) {
      for (const [method, path] of [
        ["POST", "/v2/a/blobs/uploads/"],
        ["PATCH", "/v2/a/blobs/uploads/x"],
        ["PUT", "/v2/a/manifests/x"],
        ["DELETE", "/v2/a/manifests/x"],
      ] as const) {
        const { text } = await ask(at, method, path, { host: "localhost:5000", ...headers });
        assert.equal(text.includes("pages of other sites"), refused, `${method}: ${text}`);
      }
      assert.equal((await ask(at, "GET", "/v2/", { host: "localhost:5000", ...headers })).status, 200);
    }
  });

test("what a registry answers never runs as a page", async () => {
  for (const path of ["/v2/", "/v2/a/blobs/x", "/"]) {
    const { headers } = await ask(local, "GET", path, { host: "localhost" });
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["content-security-policy"], "sandbox; default-src 'none'");
  }
});
