// Proves that secrets reach only their origin, redirects are followed safely, and retries, limits and proxies work.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isStaveError } from "../../lib/errors.ts";
import { isLoopback, proxyFor } from "../../lib/http/addresses.ts";
import { backoff, isRetryableStatus, parseRetryAfter } from "../../lib/http/retry.ts";
import { createTransport, type TransportOptions } from "../../lib/http/transport.ts";
import type { Authorizer, HttpRequest } from "../../lib/http/types.ts";
import { systemClock } from "../../lib/util/time.ts";
import { jumpingClock } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";

const SECRET = "Bearer very-secret-token";
const authorizer: Authorizer = {
  authorize: async () => SECRET,
  challenged: async () => SECRET,
};
const tls = (name: string) => readFileSync(new URL(`../../testdata/tls/${name}`, import.meta.url), "utf8");
const tlsPath = (name: string) => new URL(`../../testdata/tls/${name}`, import.meta.url).pathname;

const opened: (() => void)[] = [];
after(() => {
  for (const close of opened) close();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serve = (handler: Handler) => listen(createServer(handler));
const ok: Handler = (_request, response) => response.end("fine");

function transport(options: Partial<TransportOptions> = {}) {
  const made = createTransport({ clock: jumpingClock(), timeout: 2000, ...options });
  opened.push(() => void made.close());
  return made;
}

const get = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: "GET",
  url: new URL(url),
  accept: [200],
  op: "get",
  subject: "it",
  ...more,
});
const withAuth = { auth: { authorizer, registry: "r", scopes: [] } };

test("a secret never follows a redirect to another origin, and comes back to none", async () => {
  const seen: (string | undefined)[] = [];
  const elsewhere = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.end("blob");
  });
  const own: (string | undefined)[] = [];
  const registry = await serve((request, response) => {
    own.push(request.headers.authorization);
    response.writeHead(307, { location: `http://${elsewhere}/blob?X-Signature=abc` }).end();
  });
  const answer = await transport().requestBytes(get(`http://${registry}/x`, withAuth), 100);
  assert.equal(answer.bytes.toString(), "blob");
  assert.deepEqual([own, seen], [[SECRET], [undefined]]);
});

test("a 401 of the place a redirect led to is not answered with credentials", async () => {
  const elsewhere = await serve((_request, response) =>
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end(),
  );
  const registry = await serve((_request, response) =>
    response.writeHead(302, { location: `http://${elsewhere}/` }).end(),
  );
  const asked: unknown[] = [];
  const watching: Authorizer = {
    authorize: async () => undefined,
    challenged: async (request) => String(asked.push(request)),
  };
  await failsWith(
    "CREDENTIALS_REJECTED",
    transport().request(get(`http://${registry}/x`, { auth: { authorizer: watching, registry: "r", scopes: [] } })),
  );
  assert.equal(asked.length, 0);
});

test("secrets do not cross the network in the clear", async () => {
  const made = transport();
  assert.equal(made.maySendSecrets(new URL("https://example.org/")), true);
  assert.equal(made.maySendSecrets(new URL("http://example.org/")), false);
  assert.equal(made.maySendSecrets(new URL("http://127.0.0.1:5000/")), true);
  assert.equal(transport({ plainHttp: true }).maySendSecrets(new URL("http://example.org/")), true);
});

test("redirects that are refused", async () => {
  const cases: { name: string; handler: Handler }[] = [
    {
      name: "loop",
      handler: (request, response) => response.writeHead(302, { location: request.url === "/a" ? "/b" : "/a" }).end(),
    },
    { name: "endless", handler: (request, response) => response.writeHead(302, { location: `${request.url}x` }).end() },
    { name: "scheme", handler: (_request, response) => response.writeHead(302, { location: "ftp://x/" }).end() },
    { name: "malformed", handler: (_request, response) => response.writeHead(302, { location: "http://[" }).end() },
  ];
  for (const { name, handler } of cases) {
    const error = await failsWith("REGISTRY_ERROR", transport().request(get(`http://${await serve(handler)}/a`)));
    assert.match(error.message, /redirect/, name);
  }
});

test("https is not left for http", async () => {
  const plain = await serve(ok);
  const server = createTlsServer({ cert: tls("server.crt"), key: tls("server.key") }, (_request, response) => {
    response.writeHead(302, { location: `http://${plain}/` }).end();
  });
  const host = await listen(server);
  const error = await failsWith(
    "REGISTRY_ERROR",
    transport({ certificates: { authorities: [tlsPath("ca.crt")] } }).request(get(`https://${host}/`)),
  );
  assert.match(error.message, /from https to plain http/);
});

test("certificates: unknown, trusted by file, by certs.d, not checked; client certificates", async () => {
  const server = createTlsServer({ cert: tls("server.crt"), key: tls("server.key") }, ok);
  const host = await listen(server);
  const error = await failsWith("TLS", transport().request(get(`https://${host}/`)));
  assert.match(error.hint ?? "", /`caFiles`/);
  const read = async (options: Partial<TransportOptions>, at: string = host) =>
    (await transport(options).requestBytes(get(`https://${at}/`), 100)).bytes.toString();
  assert.equal(await read({ insecureTls: true }), "fine");
  assert.equal(await read({ certificates: { authorities: [tlsPath("ca.crt")] } }), "fine");

  const folder = mkdtempSync(join(tmpdir(), "stave-certs-"));
  opened.push(() => rmSync(folder, { recursive: true }));
  const asking = createTlsServer(
    { cert: tls("server.crt"), key: tls("server.key"), ca: tls("ca.crt"), requestCert: true, rejectUnauthorized: true },
    ok,
  );
  const strict = await listen(asking);
  mkdirSync(join(folder, strict));
  writeFileSync(join(folder, strict, "ca.crt"), tls("ca.crt"));
  await assert.rejects(read({ certificates: { hostFolders: [folder] }, retry: { attempts: 1 } }, strict));
  writeFileSync(join(folder, strict, "me.cert"), tls("client.crt"));
  writeFileSync(join(folder, strict, "me.key"), tls("client.key"));
  assert.equal(await read({ certificates: { hostFolders: [folder] } }, strict), "fine");
  const client = { certificate: tlsPath("client.crt"), key: tlsPath("client.key") };
  assert.equal(await read({ certificates: { authorities: [tlsPath("ca.crt")], client } }, strict), "fine");
  await failsWith("CONFIG_INVALID", read({ certificates: { authorities: [new URL(import.meta.url).pathname] } }));
  await failsWith("CONFIG_INVALID", read({ certificates: { authorities: ["/nonexistent.pem"] } }));
});

test("a loopback host without a scheme: TLS where it is spoken, else plain http, asked once", async () => {
  const plain = await serve(ok);
  const secure = await listen(createTlsServer({ cert: tls("server.crt"), key: tls("server.key") }, ok));
  const made = transport({ certificates: { authorities: [tlsPath("ca.crt")] } });
  assert.equal(await made.schemeFor(plain), "http");
  assert.equal(await made.schemeFor(secure), "https");
  assert.equal(await made.schemeFor("example.org"), "https");
  assert.equal(await transport({ plainHttp: true }).schemeFor("example.org"), "http");
  await failsWith("TLS", transport().schemeFor(secure));
  const error = await failsWith("TLS", transport().request(get(`https://${plain}/`)));
  assert.match(error.hint ?? "", /oci\+http/);
});

test("a proxy is used for the hosts that need it, with its own password and no one else's", async () => {
  const target = await serve(ok);
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"] ?? ""}`);
    response.end("by proxy");
  });
  proxy.on("connect", (request: IncomingMessage, socket, head) => {
    seen.push(`CONNECT ${request.url} ${request.headers["proxy-authorization"] ?? ""}`);
    const [host, port] = target.split(":");
    const way = connectTcp(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      way.write(head);
      way.pipe(socket).pipe(way);
    });
    way.on("error", () => socket.destroy());
    socket.on("error", () => way.destroy());
  });
  const at = await listen(proxy);
  const made = transport({ proxy: { http: `http://me:pw@${at}` } });
  const answer = await made.requestBytes(get("http://registry.example:5000/v2/"), 100);
  assert.ok(["fine", "by proxy"].includes(answer.bytes.toString()));
  assert.match(seen.join(), /registry\.example:5000/);
  assert.match(seen.join(), new RegExp(Buffer.from("me:pw").toString("base64")));
  await failsWith("CONFIG_INVALID", transport({ proxy: { http: "ftp://x" } }).request(get("http://registry.example/")));
});

const exemptions = [
  { url: "https://ghcr.io/", no: undefined, direct: false },
  { url: "https://ghcr.io/", no: "*", direct: true },
  { url: "https://ghcr.io/", no: "ghcr.io", direct: true },
  { url: "https://a.ghcr.io/", no: ".ghcr.io", direct: true },
  { url: "https://a.ghcr.io/", no: "*.ghcr.io", direct: true },
  { url: "https://a.ghcr.io/", no: "x, ghcr.io ,y", direct: true },
  { url: "https://notghcr.io/", no: "ghcr.io", direct: false },
  { url: "https://r:5000/", no: "r:5000", direct: true },
  { url: "https://r:5001/", no: "r:5000", direct: false },
  { url: "https://10.1.2.3/", no: "10.0.0.0/8", direct: true },
  { url: "https://11.1.2.3/", no: "10.0.0.0/8", direct: false },
  { url: "https://[fd00::1]/", no: "fd00::/8", direct: true },
  { url: "https://10.1.2.3/", no: "10.0.0.0/99,nonsense/8", direct: false },
  { url: "http://localhost:5000/", no: undefined, direct: true },
];

test("NO_PROXY", () => {
  for (const { url, no, direct } of exemptions)
    assert.equal(
      proxyFor(new URL(url), { http: "http://p", https: "http://p", noProxy: no }) === undefined,
      direct,
      `${url} ${no}`,
    );
  for (const [host, expect] of [
    ["localhost", true],
    ["127.9.9.9", true],
    ["[::1]", true],
    ["a.localhost", true],
    ["127.example.org", false],
    ["10.0.0.1", false],
  ] as const)
    assert.equal(isLoopback(host), expect, host);
});

test("Retry-After and back-off", () => {
  const now = Date.UTC(2026, 0, 1);
  const cases: [string | undefined, number | undefined][] = [
    ["7", 7000],
    ["0", 0],
    [" 12 ", 12_000],
    ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
    ["soon", undefined],
    ["-1", undefined],
    ["1e9", undefined],
    ["", undefined],
    [undefined, undefined],
  ];
  for (const [text, expect] of cases) assert.equal(parseRetryAfter(text, now), expect, text);
  assert.deepEqual(
    [1, 2, 3, 30].map((attempt) => backoff(attempt, 1)),
    [400, 800, 1600, 30_000],
  );
  assert.deepEqual([408, 429, 500, 503, 501, 505, 404, 200].map(isRetryableStatus), [
    true,
    true,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a 429 makes everybody wait, and fewer go at once", async () => {
  let refused = false;
  let running = 0;
  let most = 0;
  const host = await serve((_request, response) => {
    if (!refused) {
      refused = true;
      response.writeHead(429, { "retry-after": "9" }).end();
      return;
    }
    most = Math.max(most, ++running);
    setTimeout(() => {
      running--;
      response.end("fine");
    }, 5);
  });
  const clock = jumpingClock();
  const made = createTransport({ clock });
  await made.requestBytes(get(`http://${host}/`), 10);
  assert.ok(clock.slept.reduce((sum, ms) => sum + ms, 0) >= 8900);
  await Promise.all(Array.from({ length: 40 }, () => made.requestBytes(get(`http://${host}/`), 10)));
  assert.ok(most <= 9, `${most} at once`);
  await made.close();
});

test("a 403 that speaks of a secondary rate limit is waited for, another one is not", async () => {
  let text = "You have exceeded a secondary rate limit. Please wait a few minutes.";
  let count = 0;
  const host = await serve((_request, response) => {
    count++;
    if (count === 1 || text === "no") response.writeHead(403).end(text);
    else response.end("fine");
  });
  const clock = jumpingClock();
  const made = createTransport({ clock });
  await made.requestBytes(get(`http://${host}/`), 10);
  assert.ok(clock.slept.reduce((sum, ms) => sum + ms, 0) >= 59_000);
  text = "no";
  count = 0;
  await assert.rejects(made.requestBytes(get(`http://${host}/`), 10), { code: "DENIED" });
  assert.equal(count, 1);
  await made.close();
});

for (const [what, delay, least, most] of [
  ["near", 0, 1, 16],
  ["50 ms away", 50, 24, 64],
] as const)
  test(`a host that is ${what} gets ${least} to ${most} requests at once`, async () => {
    let running = 0;
    let seen = 0;
    const host = await serve((_request, response) => {
      seen = Math.max(seen, ++running);
      setTimeout(() => {
        running--;
        response.end("fine");
      }, delay);
    });
    const made = createTransport({ clock: systemClock });
    const many = (count: number) =>
      Promise.all(Array.from({ length: count }, () => made.requestBytes(get(`http://${host}/`), 10)));
    for (const count of [40, 1, 1, 1]) await many(count);
    seen = 0;
    await many(100);
    assert.ok(seen >= least && seen <= most, `${seen} at once`);
    await made.close();
  });

test("errors and traces hold no secrets", async () => {
  const trace: unknown[] = [];
  const host = await serve((_request, response) =>
    response.writeHead(500, { location: "/x?token=hidden" }).end("<html>proxy</html>"),
  );
  const made = transport({ trace: (event) => trace.push(event), retry: { attempts: 2 } });
  const error = await failsWith("REGISTRY_ERROR", made.request(get(`http://${host}/x?sig=hidden`, withAuth)));
  assert.match(error.message, /web page/);
  const all = JSON.stringify([error, trace]) + error.stack;
  for (const secret of ["very-secret", "hidden"]) assert.ok(!all.includes(secret), secret);
  assert.equal(trace.length, 2);
  assert.equal(error.attempts, 2);
});

test("the registry's own words are kept, as far as they can be printed", async () => {
  const body = JSON.stringify({
    errors: [{ code: "MANIFEST_INVALID", message: "bad\u001b[2Jthing", detail: { a: 1 } }],
  });
  const host = await serve((_request, response) => response.writeHead(400).end(body));
  const error = await failsWith("REGISTRY_ERROR", transport().request(get(`http://${host}/`)));
  assert.deepEqual(error.registry, [{ code: "MANIFEST_INVALID", message: "bad\\u001b[2Jthing", detail: { a: 1 } }]);
});

test("bodies are bounded, said or not", async () => {
  const said = await serve((_request, response) => response.writeHead(200, { "content-length": 1e12 }).write("x"));
  await failsWith("TOO_LARGE", transport().requestBytes(get(`http://${said}/`), 1000));
  const unsaid = await serve((_request, response) => {
    const more = () => {
      while (response.write(Buffer.alloc(65_536)));
      if (!response.destroyed) response.once("drain", more);
    };
    more();
  });
  await failsWith("TOO_LARGE", transport().requestBytes(get(`http://${unsaid}/`), 1_000_000));
});

test("an abort ends a wait at once", async () => {
  const host = await serve(() => {});
  const abort = new AbortController();
  const running = transport().requestBytes(get(`http://${host}/`, { signal: abort.signal }), 10);
  setTimeout(() => abort.abort(new Error("enough")), 20);
  await assert.rejects(running, /enough/);
});

test("nobody there, unknown host", async () => {
  const error = await failsWith("NETWORK", transport({ retry: { attempts: 2 } }).request(get("http://127.0.0.1:1/")));
  assert.match(error.message, /refused the connection/);
  await assert.rejects(transport({ retry: { attempts: 2 } }).request(get("http://no-such-host.invalid/")), (e) =>
    isStaveError(e, "NETWORK"),
  );
});

test("HEAD keeps its connection, and a body that a server sends all the same is no response to the next request", async () => {
  for (const isWrong of [false, true]) {
    const sockets = new Set<Socket>();
    const server = createTcpServer((socket) => {
      sockets.add(socket.on("error", () => {}));
      const body = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong";
      const head = (size: number): string => `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`;
      socket.on("data", (bytes) => {
        const isHead = bytes.toString().startsWith("HEAD");
        socket.write(isHead ? `${head(body.length)}${isWrong ? body : ""}` : `${head(4)}fine`);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    opened.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const made = transport();
    for (let at = 0; at < 20; at++) {
      await made.requestBytes(get(url, { method: "HEAD" }), 100);
      assert.equal(String((await made.requestBytes(get(url), 100)).bytes), "fine");
    }
    assert.ok(isWrong || sockets.size <= 3, `${sockets.size} connections`);
  }
});
