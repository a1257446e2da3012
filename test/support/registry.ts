// stave's own registry on a free loopback port, with scripted faults and a record of every request.
import { rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createRegistry, type RegistryOptions } from "../../lib/serve/registry-server.ts";
import { CONDITIONS_HEADER } from "../../lib/target/target.ts";
import { systemClock } from "../../lib/util/time.ts";
import { temporaryFolder } from "./tree.ts";

/** A fault. */
export type Fault =
  /** Sends this response without asking the registry. */
  | { status: number; headers?: Record<string, string>; body?: string }
  /** Delays the registry's response by this many milliseconds. */
  | { delay: number }
  /** Breaks the connection before a response, and does nothing. */
  | "reset"
  /** Reads this many bytes of the request's body, does nothing, and breaks the connection. */
  | { resetAfter: number }
  /** Sends the header and this many bytes of the body of the true response, then breaks the connection. */
  | { truncate: number }
  /** Handles the request, and breaks the connection instead of responding. */
  | "lost commit"
  /** Sends the true response with the first byte of its body changed. */
  | "wrong content"
  /** Sends the true response with one bit of its body changed: 0 is in its first byte, 1 in its last. */
  | { flippedAt: number }
  /** Responds as if there were no Range header. */
  | "ignore range"
  /** Adds or replaces headers of the true response. */
  | { headers: Record<string, string> }
  /** Omits a header of the true response. */
  | { withoutHeader: string }
  /** Redirects. */
  | { redirect: string; status?: number }
  /** Never responds. */
  | "hang"
  /** Reads the request's body one byte at a time, and never responds. */
  | "slow reader"
  /** Sends the header and half a body, then nothing more. */
  | "stall"
  /** Sends the true response one byte at a time, with this many milliseconds in between. */
  | { drip: number }
  /** Responds to everything with 200 and a page, as a captive portal does. */
  | "portal"
  /** Responds to everything with 200 without a body, and does nothing. */
  | "yes man"
  /** Responds to a listing with a new page of about this many bytes, and a link to the next one. */
  | { endlessPages: number }
  /** Responds with 403 and a message that repeats the secret it received. */
  | "echo";

/** The page of a captive portal. */
export const PORTAL_PAGE =
  "<!DOCTYPE html>\n<html><head><title>Welcome to our network</title></head><body>Log in</body></html>\n";

/** When a fault occurs: all given conditions must match. */
export interface Rule {
  method?: string;
  path?: RegExp;
  /** Only for this many matching requests; default all. */
  times?: number;
  /** Not for the first matching requests, this many. */
  after?: number;
  fault: Fault;
}

/** Like most registries, does not announce support for If-Match. */
export const UNCONDITIONAL: Rule = { path: /\/manifests\//, fault: { withoutHeader: CONDITIONS_HEADER } };

/** Requires credentials, as registries do. */
export interface Login {
  kind: "basic" | "bearer";
  username: string;
  password: string;
  /** The lifetime of a token in seconds; default 300. */
  tokenSeconds?: number;
  /** Omits the scope from the challenge. */
  withoutScope?: boolean;
  /** Allows pulls without credentials. */
  publicPull?: boolean;
}

/** One request as it arrived. */
export interface Recorded {
  method: string;
  url: string;
  path: string;
  headers: IncomingMessage["headers"];
  status: number;
}

export interface TestRegistry {
  /** `127.0.0.1:PORT`. */
  host: string;
  url: string;
  directory: string;
  requests: Recorded[];
  /** Requests to the token service. */
  tokens: { method: string; url: string; body: string; authorization: string | undefined }[];
  rules: Rule[];
  /** Handles a request that arrived in another way (TLS). */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** The number of matching recorded requests. */
  count(method: string, path?: RegExp): number;
  close(): Promise<void>;
}

/** Starts the registry; close it at the end of the test. */
export async function startRegistry(
  options: Partial<Pick<RegistryOptions, "minChunk" | "readOnly" | "sparse" | "htpasswd" | "directory">> & {
    rules?: Rule[];
    login?: Login;
    /** Stores the body of `POST …/uploads/?digest=`; like distribution, it opens an upload otherwise. */
    takesWholePosts?: boolean;
  } = {},
): Promise<TestRegistry> {
  const { rules = [], login, takesWholePosts = false, directory = temporaryFolder(), ...rest } = options;
  const inner = await createRegistry({ ...rest, directory, clock: systemClock });
  const requests: Recorded[] = [];
  const tokens: TestRegistry["tokens"] = [];
  const fitted = new Map<Rule, number>();
  const valid = new Map<string, { scopes: string; until: number }>();

  const handle: Handler = async (request, response) => {
    const [path = ""] = (request.url ?? "").split("?");
    if (login && path === "/token") return await giveToken(request, response, login, tokens, valid);
    const recorded: Recorded = {
      method: request.method ?? "",
      url: request.url ?? "",
      path,
      headers: { ...request.headers },
      status: 0,
    };
    requests.push(recorded);
    if (request.method === "POST" && !takesWholePosts)
      request.url = (request.url ?? "").replace(/(\/uploads\/)\?digest=[^&]*$/, "$1");
    response.on("close", () => {
      recorded.status = response.headersSent ? response.statusCode : 0;
    });
    if (login && !isAllowed(request, login, valid)) return challenge(request, response, login);
    const rule = rules.find((candidate) => {
      if (candidate.method !== undefined && candidate.method !== request.method) return false;
      if (candidate.path !== undefined && !candidate.path.test(request.url ?? "")) return false;
      const seen = (fitted.get(candidate) ?? 0) + 1;
      fitted.set(candidate, seen);
      const after = candidate.after ?? 0;
      return seen > after && seen <= after + (candidate.times ?? Number.POSITIVE_INFINITY);
    });
    if (rule === undefined) return await inner.handle(request, response);
    return await misbehave(rule.fault, request, response, (q, a) => inner.handle(q, a));
  };
  const server: Server = createServer(handle);
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    directory,
    requests,
    tokens,
    rules,
    handle,
    count: (method, pattern = /./) => requests.filter((one) => one.method === method && pattern.test(one.url)).length,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await inner.close();
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

async function misbehave(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
  handle: Handler,
): Promise<void> {
  const broken = () => void request.socket.destroy();
  if (fault === "hang") return;
  if (fault === "reset") return broken();
  if (fault === "ignore range") {
    delete request.headers.range;
    return await handle(request, response);
  }
  if (fault === "lost commit") {
    const caught = await capture(request, handle);
    return caught.status === 0 ? undefined : broken();
  }
  if (fault === "wrong content" || (typeof fault === "object" && "flippedAt" in fault)) {
    const { status, headers, body } = await capture(request, handle);
    const at = fault === "wrong content" ? 0 : Math.floor(fault.flippedAt * Math.max(0, body.length - 1));
    if (body.length > 0) body.writeUInt8(body.readUInt8(at) ^ 1, at);
    response.writeHead(status, headers);
    response.end(request.method === "HEAD" ? undefined : body);
    return;
  }
  if (fault === "slow reader") return void request.pause();
  if (fault === "portal") {
    request.resume();
    response.writeHead(200, { "content-type": "text/html", "content-length": Buffer.byteLength(PORTAL_PAGE) });
    response.end(request.method === "HEAD" ? undefined : PORTAL_PAGE);
    return;
  }
  if (fault === "yes man") {
    request.resume();
    response.writeHead(200, { "content-length": 0 });
    response.end();
    return;
  }
  if (fault === "echo") {
    request.resume();
    const message = `not allowed: ${request.headers.authorization ?? "nothing"}`;
    response.writeHead(403, { "content-type": "application/json" });
    response.end(
      JSON.stringify({ errors: [{ code: "DENIED", message, detail: { sent: request.headers.authorization } }] }),
    );
    return;
  }
  if (fault === "stall") {
    const { status, headers, body } = await capture(request, handle);
    response.writeHead(status, headers);
    response.write(body.subarray(0, body.length / 2));
    return;
  }
  if ("drip" in fault) {
    const { status, headers, body } = await capture(request, handle);
    response.writeHead(status, headers);
    if (request.method === "HEAD") return void response.end();
    for (const byte of body) {
      response.write(Buffer.of(byte));
      await new Promise((resolve) => setTimeout(resolve, fault.drip));
      if (response.destroyed) return;
    }
    response.end();
    return;
  }
  if ("endlessPages" in fault) {
    const page = Number(/[?&]page=([0-9]+)/.exec(request.url ?? "")?.[1] ?? "0");
    const tags = Array.from({ length: Math.ceil(fault.endlessPages / 100) }, (_, i) => `${i}`.padEnd(97, "x"));
    const [path = ""] = (request.url ?? "").split("?");
    response.writeHead(200, { "content-type": "application/json", link: `<${path}?page=${page + 1}>; rel="next"` });
    response.end(JSON.stringify({ name: "a", tags: [`page-${page}`, ...tags] }));
    return;
  }
  if ("resetAfter" in fault) {
    let seen = 0;
    request.on("data", (chunk: Buffer) => {
      seen += chunk.byteLength;
      if (seen >= fault.resetAfter) broken();
    });
    request.on("end", broken);
    return;
  }
  if ("truncate" in fault) {
    const { status, headers, body } = await capture(request, handle);
    response.writeHead(status, headers);
    response.write(body.subarray(0, fault.truncate), () => setTimeout(broken, 30));
    return;
  }
  if ("delay" in fault) {
    await new Promise((resolve) => setTimeout(resolve, fault.delay));
    return await handle(request, response);
  }
  if ("redirect" in fault) {
    request.resume();
    response.writeHead(fault.status ?? 307, { location: fault.redirect, "content-length": 0 });
    response.end();
    return;
  }
  if ("status" in fault) {
    request.resume();
    response.writeHead(fault.status, fault.headers);
    response.end(fault.body ?? "");
    return;
  }
  const { status, headers, body } = await capture(request, handle);
  if ("withoutHeader" in fault) delete headers[fault.withoutHeader];
  else Object.assign(headers, fault.headers);
  response.writeHead(status, headers);
  response.end(request.method === "HEAD" ? undefined : body);
}

/** Captures the registry's response in memory. */
async function capture(
  request: IncomingMessage,
  handle: Handler,
): Promise<{ status: number; headers: Record<string, string>; body: Buffer }> {
  const chunks: Buffer[] = [];
  const fake = new ServerResponse(request);
  const keep = (chunk: unknown) => {
    if (chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
    else if (typeof chunk === "string") chunks.push(Buffer.from(chunk));
  };
  const finished = new Promise<void>((resolve) => {
    fake.write = (chunk: unknown, ...rest: unknown[]) => {
      keep(chunk);
      for (const callback of rest) if (typeof callback === "function") callback();
      return true;
    };
    fake.end = (chunk?: unknown) => {
      keep(chunk);
      fake.emit("finish");
      fake.emit("close");
      resolve();
      return fake;
    };
  });
  const headers: Record<string, string> = {};
  fake.writeHead = (status: number, given?: unknown) => {
    fake.statusCode = status;
    Object.assign(headers, given);
    return fake;
  };
  await handle(request, fake);
  await finished;
  return { status: fake.statusCode, headers, body: Buffer.concat(chunks) };
}

function scopesFor(request: IncomingMessage): string {
  const found = /^\/v2\/(.+)\/(?:blobs|manifests|tags|referrers)\//.exec(request.url ?? "");
  if (!found) return "";
  const isRead = request.method === "GET" || request.method === "HEAD";
  const from = /[?&]from=([^&]+)/.exec(request.url ?? "")?.[1];
  const own = `repository:${found[1]}:${isRead ? "pull" : "pull,push"}`;
  return from === undefined ? own : `${own} repository:${decodeURIComponent(from)}:pull`;
}

function isAllowed(
  request: IncomingMessage,
  login: Login,
  valid: Map<string, { scopes: string; until: number }>,
): boolean {
  const { authorization = "" } = request.headers;
  if (login.kind === "basic") return authorization === basicHeader(login);
  const token = valid.get(authorization.replace(/^Bearer /, ""));
  if (token === undefined || token.until < Date.now()) return false;
  return scopesFor(request)
    .split(" ")
    .every((wanted) => {
      const [, name, actions = ""] = /^repository:(.+):(.+)$/.exec(wanted) ?? [];
      const granted = token.scopes.split(" ").find((scope) => scope.startsWith(`repository:${name}:`));
      return (
        name === undefined ||
        actions.split(",").every((action) => granted?.split(":").at(-1)?.split(",").includes(action))
      );
    });
}

function basicHeader({ username, password }: Login): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function challenge(request: IncomingMessage, response: ServerResponse, login: Login): void {
  request.resume();
  const scope = login.withoutScope || scopesFor(request) === "" ? "" : `,scope="${scopesFor(request)}"`;
  const realm = `http://${request.headers.host}/token`;
  const header = login.kind === "basic" ? 'Basic realm="test"' : `Bearer realm="${realm}",service="test"${scope}`;
  response.writeHead(401, { "www-authenticate": header, "content-type": "application/json" });
  response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
}

async function giveToken(
  request: IncomingMessage,
  response: ServerResponse,
  login: Login,
  tokens: TestRegistry["tokens"],
  valid: Map<string, { scopes: string; until: number }>,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { authorization } = request.headers;
  tokens.push({ method: request.method ?? "", url: request.url ?? "", body, authorization });
  const query = new URL(request.url ?? "", "http://x").searchParams;
  const form = new URLSearchParams(body);
  const isKnown =
    authorization === basicHeader(login) ||
    form.get("refresh_token") === login.password ||
    form.get("password") === login.password;
  let scopes = [...query.getAll("scope"), ...(form.get("scope")?.split(" ") ?? [])];
  if (!isKnown && !(login.publicPull && authorization === undefined && body === "")) {
    response.writeHead(401);
    response.end("{}");
    return;
  }
  if (!isKnown) scopes = scopes.map((scope) => scope.replace(/:[^:]*$/, ":pull"));
  const token = `token-${tokens.length}-${Math.random().toString(36).slice(2)}`;
  const seconds = login.tokenSeconds ?? 300;
  valid.set(token, { scopes: scopes.join(" "), until: Date.now() + seconds * 1000 });
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ token, expires_in: seconds }));
}
