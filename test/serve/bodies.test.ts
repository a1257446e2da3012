// Proves that each request gets a response that its client sees, and a log line, whether its body is refused, fails or
// never arrives.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hashSync } from "bcryptjs";
import { request as undiciRequest } from "undici";
import { digestOf } from "../../lib/oci/digest.ts";
import { OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { createRegistry, type RegistryOptions } from "../../lib/serve/registry-server.ts";
import { systemClock } from "../../lib/util/time.ts";
import { code } from "../support/by-hand.ts";
import { someBytes } from "../support/content.ts";

interface Served {
  url: string;
  port: number;
  directory: string;
  log: string[];
  close(): Promise<void>;
}

async function serve(options: Partial<RegistryOptions> = {}): Promise<Served> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "stave-serve-"));
  const log: string[] = [];
  const registry = await createRegistry({
    ...options,
    directory,
    clock: systemClock,
    onRequest: (method, url, status) => log.push(`${status} ${method} ${url}`),
  });
  const { url, port } = await registry.listen({ host: "127.0.0.1", port: 0 });
  return {
    url,
    port,
    directory,
    log,
    close: async () => {
      await registry.close();
      if (options.directory === undefined) rmSync(directory, { recursive: true });
    },
  };
}

let open: Served;
let guarded: Served;
let readOnly: Served;
before(async () => {
  open = await serve();
  await fetch(`${open.url}/v2/r/blobs/uploads/`, { method: "POST" });
  guarded = await serve({ htpasswd: { text: `me:${hashSync("s3cret", 4)}`, path: "users" } });
  readOnly = await serve({ directory: open.directory, readOnly: true });
});
after(async () => {
  await Promise.all([guarded.close(), readOnly.close()]);
  await open.close();
});

const temporary = (served: Served, name = "r") => {
  const folder = join(served.directory, name, ".tmp");
  return existsSync(folder) ? readdirSync(folder) : [];
};
const newUpload = async (served: Served, name = "r") =>
  String((await fetch(`${served.url}/v2/${name}/blobs/uploads/`, { method: "POST" })).headers.get("location"));

/** Waits for a line, which is logged when the whole request has been read. */
async function logged(served: Served, fits: (line: string) => boolean): Promise<void> {
  while (!served.log.some(fits)) await sleep(5);
}

const body = Buffer.from(someBytes(10_000_000, "refused"));
const bodyFile = join(mkdtempSync(join(tmpdir(), "stave-body-")), "body");
writeFileSync(bodyFile, body);
after(() => rmSync(join(bodyFile, ".."), { recursive: true }));

interface Refused {
  name: string;
  at: () => Served;
  method: string;
  path: () => string | Promise<string>;
  headers?: Record<string, string>;
  status: number;
}
const refused: Refused[] = [
  { name: "no password", at: () => guarded, method: "PUT", path: () => "/v2/r/blobs/uploads/x?digest=y", status: 401 },
  { name: "read-only", at: () => readOnly, method: "PATCH", path: () => "/v2/r/blobs/uploads/x", status: 403 },
  { name: "no such upload", at: () => open, method: "PATCH", path: () => "/v2/r/blobs/uploads/x", status: 404 },
  {
    name: "a manifest over the limit",
    at: () => open,
    method: "PUT",
    path: () => "/v2/r/manifests/x",
    headers: { "content-type": OCI_MANIFEST },
    status: 413,
  },
  {
    name: "a wrong Content-Range",
    at: () => open,
    method: "PATCH",
    path: () => newUpload(open),
    headers: { "content-range": "5-10000004" },
    status: 416,
  },
  {
    name: "a body longer than its Content-Range",
    at: () => open,
    method: "PATCH",
    path: () => newUpload(open),
    headers: { "content-range": "0-99999" },
    status: 400,
  },
  { name: "a name that is none", at: () => open, method: "PUT", path: () => "/v2/R/manifests/x", status: 400 },
];

type Send = (served: Served, method: string, path: string, headers: Record<string, string>) => Promise<number>;

/** Sends everything, and only then reads the response. */
const overSocket = (isChunked: boolean, connection: string): Send => {
  return async ({ port }, method, path, headers) => {
    const socket = connect(port, "127.0.0.1");
    const closed = new Promise<string>((resolve, reject) => {
      let text = "";
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (/\r\n\r\n.*\}$/.test(text)) socket.end();
      });
      socket.on("close", () => resolve(text));
    });
    closed.catch(() => {});
    socket.pause();
    const length = isChunked ? { "transfer-encoding": "chunked" } : { "content-length": String(body.byteLength) };
    const all = { host: `127.0.0.1:${port}`, connection, ...headers, ...length };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    for (let at = 0; at < body.byteLength; at += 1_000_000) {
      const part = body.subarray(at, at + 1_000_000);
      if (isChunked) socket.write(`${part.byteLength.toString(16)}\r\n`);
      await written(socket, part);
      if (isChunked) socket.write("\r\n");
    }
    if (isChunked) socket.write("0\r\n\r\n");
    socket.resume();
    return Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(await closed)?.[1]);
  };
};

function written(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve())));
}

const clients: { name: string; send: Send }[] = [
  { name: "a socket", send: overSocket(false, "keep-alive") },
  { name: "a socket, chunked", send: overSocket(true, "keep-alive") },
  { name: "a socket to be closed", send: overSocket(false, "close") },
  {
    name: "node:http",
    send: ({ url }, method, path, headers) =>
      new Promise((resolve, reject) => {
        const request = httpRequest(url + path, { method, headers, agent: false });
        let status = 0;
        request.on("error", reject);
        request.on("response", (response) => {
          status = response.statusCode ?? 0;
          response
            .on("error", reject)
            .on("end", () => resolve(status))
            .resume();
        });
        request.end(body);
      }),
  },
  {
    name: "undici",
    send: async ({ url }, method, path, headers) => {
      const answer = await undiciRequest(url + path, { method: method as "PUT", headers, body });
      await answer.body.dump();
      return answer.statusCode;
    },
  },
];
const curl: Send = ({ url }, method, path, headers) => {
  const given = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const child = spawn(
    "curl",
    ["-s", "-S", "-X", method, "-H", "Expect:", ...given, "--data-binary", `@${bodyFile}`, "-o", "-"].concat(
      "-w",
      "\n%{http_code}",
      url + path,
    ),
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  let complaint = "";
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  child.stderr.on("data", (chunk) => {
    complaint += chunk;
  });
  return new Promise((resolve, reject) =>
    child.on("close", (status) =>
      status === 0 ? resolve(Number(said.split("\n").at(-1))) : reject(new Error(`curl: ${complaint}`)),
    ),
  );
};
const noCurl = spawnSync("curl", ["--version"]).error ? "curl is missing" : false;

for (const { name, send, skip } of [
  ...clients.map((client) => ({ ...client, skip: false as const })),
  { name: "curl", send: curl, skip: noCurl },
])
  test(`a client that sends 10 MB sees why it is refused: ${name}`, { skip }, async () => {
    for (let round = 0; round < 3; round++)
      for (const { name: why, at, method, path, headers = {}, status } of refused)
        assert.equal(await send(at(), method, await path(), headers), status, `${why}, round ${round}`);
  });

test("a body that is no longer wanted has a bound", async () => {
  let sent = 0;
  const socket = connect(open.port, "127.0.0.1");
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.write(`PATCH /v2/r/blobs/uploads/x HTTP/1.1\r\nhost: localhost\r\nContent-Length: 9000000000\r\n\r\n`);
  while (!socket.destroyed && sent < 1e9)
    await written(socket, body).then(
      () => {
        sent += body.byteLength;
      },
      () => socket.destroy(),
    );
  await closed;
  assert.match(text, /^HTTP\/1\.1 404 /);
  assert.ok(sent < 200_000_000, `${sent} bytes were read`);
});

test("a body in chunks of one byte does not take hundreds of times its bytes", async () => {
  const socket = connect(open.port, "127.0.0.1");
  const answered = new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(chunk.toString())));
  const before = process.memoryUsage().heapUsed;
  let most = 0;
  const header = `content-type: ${OCI_MANIFEST}\r\ntransfer-encoding: chunked`;
  await written(socket, Buffer.from(`PUT /v2/r/manifests/x HTTP/1.1\r\nhost: localhost\r\n${header}\r\n\r\n`));
  const bytes = Buffer.from("1\r\nx\r\n".repeat(10_000));
  const look = setInterval(() => {
    most = Math.max(most, process.memoryUsage().heapUsed - before);
  }, 5);
  for (let times = 0; times < 70; times++) await written(socket, bytes);
  await written(socket, Buffer.from("0\r\n\r\n"));
  assert.match(await answered, /^HTTP\/1\.1 400 /);
  clearInterval(look);
  socket.destroy();
  assert.ok(most < 300e6, `${most} bytes`);
});

test("a full disk: an answer, a line in the log, and the upload is gone at once", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "stave-serve-"));
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", directory]).status !== 0) {
    rmSync(directory, { recursive: true });
    return t.skip("cannot mount a small file system here (needs root)");
  }
  const errors: unknown[] = [];
  const served = await serve({ directory, onError: (error) => errors.push(error) });
  try {
    const digest = digestOf(body);
    const asked: [string, string][] = [
      ["PATCH", await newUpload(served)],
      ["PUT", `${await newUpload(served)}?digest=${digest}`],
      ["POST", `/v2/r/blobs/uploads/?digest=${digest}`],
    ];
    for (const [method, path] of asked) {
      const response = await fetch(served.url + path, { method, body });
      assert.deepEqual([response.status, await code(response)], [507, "UNKNOWN"], method);
      if (method !== "POST") assert.equal((await fetch(`${served.url}${path.split("?")[0]}`)).status, 404);
      await logged(served, (line) => line.startsWith(`507 ${method} `));
    }
    assert.deepEqual(temporary(served), []);
    assert.equal(errors.length, 3);
    const small = Buffer.from(someBytes(1000, "small"));
    const fits = await fetch(`${served.url}/v2/r/blobs/uploads/?digest=${digestOf(small)}`, {
      method: "POST",
      body: small,
    });
    assert.equal(fits.status, 201);
  } finally {
    await served.close();
    spawnSync("umount", ["-l", directory]);
    rmSync(directory, { recursive: true });
  }
});

test("an upload that is cancelled while a request writes to it answers both", async () => {
  const path = await newUpload(open);
  const status = new Promise<number>((resolve, reject) => {
    const request = httpRequest(open.url + path, { method: "PATCH", headers: { "content-length": 2_000_000 } });
    request.on("error", reject);
    request.on("response", (response) => resolve(response.resume().statusCode ?? 0));
    request.write(body.subarray(0, 1_000_000));
    void (async () => {
      while ((await fetch(open.url + path)).headers.get("range") === "0-0");
      assert.equal((await fetch(open.url + path, { method: "DELETE" })).status, 204);
      request.end(body.subarray(1_000_000, 2_000_000));
    })();
  });
  assert.equal(await status, 404);
  const id = path.split("/").at(-1) ?? "";
  await logged(open, (line) => line.startsWith("404 PATCH") && line.includes(id));
});

test("a client that leaves before its answer is a line in the log, too", async () => {
  const path = await newUpload(open);
  const request = httpRequest(open.url + path, { method: "PATCH", headers: { "content-length": 2_000_000 } });
  request.on("error", () => {});
  request.write(body.subarray(0, 1_000_000));
  while ((await fetch(open.url + path)).headers.get("range") === "0-0");
  request.destroy();
  await logged(open, (line) => line === `499 PATCH ${path}`);
});

test("a body or headers that do not come, or come drop by drop, end with an answer", { timeout: 60_000 }, async () => {
  const served = await serve({ patience: 200 });
  const ask = (text: string, drip: boolean): Promise<string> =>
    new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const socket = connect(served.port, "127.0.0.1", () => {
        socket.write(text);
        if (drip) timer = setInterval(() => socket.write("x"), 20);
      });
      let said = "";
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        said += chunk;
        socket.end();
      });
      socket.on("close", () => {
        clearInterval(timer);
        resolve(said.split("\r\n")[0] ?? "");
      });
    });
  try {
    const path = await newUpload(served);
    const head = `PATCH ${path} HTTP/1.1\r\nhost: localhost\r\n`;
    for (const [what, text, drip] of [
      ["no body", `${head}Content-Length: 1000\r\n\r\nabc`, false],
      ["a body in drops", `${head}Content-Length: 1000000\r\n\r\n`, true],
      ["half of the headers", head, false],
      ["headers in drops", `${head}X-Long: `, true],
    ] as const)
      assert.equal(await ask(text, drip), "HTTP/1.1 408 Request Timeout", what);
    assert.equal(await ask("this is no HTTP\r\n\r\n", false), "HTTP/1.1 400 Bad Request");
    assert.deepEqual(
      served.log.filter((line) => /^40[08]/.test(line)),
      [`408 PATCH ${path}`, `408 PATCH ${path}`, "408 - -", "408 - -", "400 - -"],
    );
  } finally {
    await served.close();
  }
});
