// Proves that proxies work: tunnels, forwarded requests, TLS to the proxy itself, and every failure of them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import type { ErrorCode } from "../../lib/errors.ts";
import { createTransport, type TransportOptions } from "../../lib/http/transport.ts";
import { startStave, stave } from "../support/cli.ts";
import { jumpingClock } from "../support/client.ts";
import { failsWith } from "../support/errors.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { makeAuthority, type TestAuthority } from "../support/tls.ts";

const closers: (() => void | Promise<void>)[] = [];
let authority: TestAuthority;
let registry: TestRegistry;
/** The registry over TLS, known as registry.example. */
let securePort: number;

before(async () => {
  authority = makeAuthority();
  registry = await startRegistry();
  const server = createTlsServer(authority.issue("registry", ["registry.example"]).pem, (q, a) =>
    registry.handle(q, a),
  );
  securePort = await listen(server);
  closers.push(authority.remove, registry.close);
});

after(async () => {
  for (const close of closers) await close();
});

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A proxy that connects everything to the registry, over TLS for tunnels; records its requests. */
async function proxy(options: { secure?: boolean; answer?: string; mute?: boolean } = {}) {
  const seen: string[] = [];
  const plain = (request: IncomingMessage, response: Parameters<TestRegistry["handle"]>[1]) => {
    seen.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"] ?? "-"}`);
    if (options.answer !== undefined) {
      response.writeHead(Number(options.answer.slice(0, 3))).end();
      return;
    }
    request.url = (request.url ?? "").replace(/^http:\/\/[^/]+/, "");
    void registry.handle(request, response);
  };
  const server = options.secure ? createTlsServer(authority.issue("proxy").pem, plain) : createServer(plain);
  server.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    seen.push(`CONNECT ${request.url} ${request.headers["proxy-authorization"] ?? "-"}`);
    socket.on("error", () => {});
    if (options.mute) return;
    if (options.answer !== undefined) return void socket.end(`HTTP/1.1 ${options.answer}\r\n\r\n`);
    const way = connectTcp(securePort, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      way.write(head);
      way.pipe(socket).pipe(way);
    });
    way.on("error", () => socket.destroy());
  });
  const port = await listen(server);
  return { seen, port, url: `${options.secure ? "https" : "http"}://me:pw@127.0.0.1:${port}` };
}

async function ping(url: string, options: Partial<TransportOptions>): Promise<number> {
  const certificates = { authorities: [authority.certificate] };
  const all = { clock: jumpingClock(), timeout: 5000, retry: { attempts: 3 }, certificates, ...options };
  const transport = createTransport(all);
  try {
    const request = { method: "GET", url: new URL(url), accept: [200], op: "ask", subject: "it" } as const;
    return (await transport.requestBytes(request, 1000)).status;
  } finally {
    await transport.close();
  }
}

const ME = `Basic ${Buffer.from("me:pw").toString("base64")}`;

test("through http and https proxies, to registries with and without TLS", async () => {
  for (const isSecure of [false, true]) {
    const { url, seen } = await proxy({ secure: isSecure });
    assert.equal(await ping("https://registry.example/v2/", { proxy: { https: url } }), 200);
    assert.equal(await ping("http://registry.example:5000/v2/", { proxy: { http: url } }), 200);
    assert.deepEqual(seen, [`CONNECT registry.example:443 ${ME}`, `GET http://registry.example:5000/v2/ ${ME}`]);
  }
});

const answers: { answer: string; code: ErrorCode; says: RegExp; hint: RegExp; tries: number }[] = [
  {
    answer: "407 Who",
    code: "CREDENTIALS_REJECTED",
    says: /user name and password/,
    hint: /USER:PASSWORD/,
    tries: 1,
  },
  { answer: "403 No", code: "DENIED", says: /does not allow this host/, hint: /NO_PROXY/, tries: 1 },
  { answer: "400 What", code: "REGISTRY_ERROR", says: /refused the connection \(400\)/, hint: /HTTPS_PROXY/, tries: 1 },
  { answer: "503 Later", code: "NETWORK", says: /could not connect \(503\)/, hint: /HTTPS_PROXY/, tries: 3 },
];

for (const { answer, code, says, hint, tries } of answers)
  test(`a proxy that answers ${answer} is named, with a hint that fits`, async () => {
    const { url, port, seen } = await proxy({ answer });
    const error = await failsWith(code, ping("https://registry.example/v2/", { proxy: { https: url } }));
    assert.match(error.message, new RegExp(`the proxy http://127\\.0\\.0\\.1:${port}`));
    assert.match(error.message, says);
    assert.match(error.hint ?? "", hint);
    assert.ok(!JSON.stringify(error).includes("pw@"));
    assert.equal(seen.length, tries);
  });

test("407 of a proxy for plain http is final, too", async () => {
  const { url, seen } = await proxy({ answer: "407 Who" });
  const error = await failsWith("CREDENTIALS_REJECTED", ping("http://registry.example/v2/", { proxy: { http: url } }));
  assert.match(error.message, /the proxy http:/);
  assert.equal(seen.length, 1);
});

test("a proxy that is not there, hangs up, talks nonsense or is not trusted is named", async () => {
  const dropping = await listen(createTcpServer((socket) => void socket.on("error", () => {}).destroy()));
  const odd = await listen(createTcpServer((socket) => void socket.on("error", () => {}).end("SSH-2.0-x\r\n\r\n")));
  const endless = await listen(
    createTcpServer((socket) => void socket.on("error", () => {}).write(`HTTP/1.1 200 ${"x".repeat(40_000)}`)),
  );
  const secure = await proxy({ secure: true });
  const cases: { proxy: string; code: ErrorCode; says: RegExp; certificates?: object }[] = [
    { proxy: "http://127.0.0.1:1", code: "NETWORK", says: /the proxy http:\/\/127\.0\.0\.1:1 refused the connection/ },
    { proxy: `127.0.0.1:${dropping}`, code: "NETWORK", says: /the proxy .* broke the connection/ },
    { proxy: `127.0.0.1:${odd}`, code: "NETWORK", says: /the proxy .* does not speak HTTP/ },
    { proxy: `127.0.0.1:${endless}`, code: "NETWORK", says: /the proxy .* endless head/ },
    { proxy: "http://no-such-proxy.invalid", code: "NETWORK", says: /the proxy .*(?:not a known host|looked up)/ },
    { proxy: secure.url, code: "TLS", says: /the proxy https:.* certificate that is not trusted/, certificates: {} },
  ];
  for (const { proxy: https, code, says, ...more } of cases) {
    const work = ping("https://registry.example/v2/", { proxy: { https }, retry: { attempts: 2 }, ...more });
    assert.match((await failsWith(code, work)).message, says);
  }
});

test("a proxy that never answers CONNECT ends in time, and at once with Ctrl-C", async () => {
  const { url, port, seen } = await proxy({ mute: true });
  const options = { proxy: { https: url }, connectTimeout: 150, retry: { attempts: 2 } };
  const error = await failsWith("TIMEOUT", ping("https://registry.example/v2/", options));
  assert.match(error.message, new RegExp(`the proxy http://127\\.0\\.0\\.1:${port} did not answer`));
  assert.equal(seen.length, 2);
  const env = { HTTPS_PROXY: url };
  const ran = await stave(["tags", "oci://registry.example/r", "--timeout", "1", "--retries", "0"], { env });
  assert.equal(ran.status, 4, ran.stderr);
  assert.match(ran.stderr, /the proxy .*\[TIMEOUT\]/);
  assert.ok(!ran.stderr.includes("pw@"));
  const asked = seen.length;
  const child = startStave(["tags", "oci://registry.example/r"], { env });
  while (seen.length === asked) await new Promise((resolve) => setTimeout(resolve, 50));
  child.kill("SIGINT");
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 130);
});

test("the command takes proxies from the environment, and NO_PROXY in its forms", async () => {
  const { url, seen } = await proxy();
  const run = (env: Record<string, string>) =>
    stave(["tags", "oci://registry.example/r", "--retries", "0", "--cacert", authority.certificate], { env });
  for (const env of [{ HTTPS_PROXY: url }, { https_proxy: url }, { ALL_PROXY: url }]) {
    seen.length = 0;
    assert.match((await run(env)).stderr, /\[NOT_FOUND\]/);
    assert.ok(seen.some((line) => line.startsWith("CONNECT registry.example:443")));
  }
  for (const NO_PROXY of ["registry.example", ".example", "other,registry.example:443"]) {
    seen.length = 0;
    assert.match((await run({ HTTPS_PROXY: url, NO_PROXY })).stderr, /\[NETWORK\]/);
    assert.deepEqual(seen, []);
  }
});
