// A directory as a registry: the whole OCI distribution 1.1 interface on Node's own server.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { StaveError, systemCode } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import type { Clock } from "../util/time.ts";
import { answer, Refusal, refusalOf, refuse } from "./answer.ts";
import {
  answerReferrers,
  type Exchange,
  handleBlob,
  handleManifest,
  handleReferrers,
  handleTags,
  page,
} from "./content.ts";
import { Repositories } from "./repositories.ts";
import { created, Uploads } from "./uploads.ts";
import { Users } from "./users.ts";

/** How a directory is served. */
export interface RegistryOptions {
  /** A layout, or a folder with a layout per repository; made when it is not there and may be written. */
  directory: string;
  clock: Clock;
  readOnly?: boolean | undefined;
  /** PEM texts. */
  tls?: { cert: string; key: string } | undefined;
  /** The text of an htpasswd file, and its name for messages. */
  htpasswd?: { text: string; path: string } | undefined;
  /** Asks clients for chunks of at least so many bytes. */
  minChunk?: number | undefined;
  /** Told of each answered request. */
  onRequest?: ((method: string, url: string, status: number) => void) | undefined;
  /** Told of failures that are not the client's. */
  onError?: ((error: unknown) => void) | undefined;
}

/** A registry that can be listened on, or given requests by somebody else's server. */
export interface RegistryServer {
  /** The only repository, when the directory is one layout. */
  readonly repository: string | undefined;
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Listens; port 0 takes a free one. Throws CONFIG_INVALID when the address cannot be used. */
  listen(at: { host: string; port: number }): Promise<{ url: string; host: string; port: number }>;
  /** Lets running requests end, then closes. */
  close(): Promise<void>;
}

const VERSION_HEADER = { "docker-distribution-api-version": "registry/2.0" };
/** How long requests may go on after `close`, in milliseconds. */
const GRACE = 10_000;
/** A connection on which nothing moves for so long is given up, in milliseconds; longer than hashing a huge blob takes. */
const IDLE = 10 * 60 * 1000;

const ROUTES: {
  pattern: RegExp;
  methods: RegExp;
  kind: "blob" | "manifest" | "tags" | "referrers" | "uploads" | "upload";
}[] = [
  { pattern: /^\/v2\/(.+)\/blobs\/uploads\/?$/, methods: /^POST$/, kind: "uploads" },
  { pattern: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/, methods: /^(?:GET|HEAD|PATCH|PUT|DELETE)$/, kind: "upload" },
  { pattern: /^\/v2\/(.+)\/blobs\/([^/]+)$/, methods: /^(?:GET|HEAD|DELETE)$/, kind: "blob" },
  { pattern: /^\/v2\/(.+)\/manifests\/([^/]+)$/, methods: /^(?:GET|HEAD|PUT|DELETE)$/, kind: "manifest" },
  { pattern: /^\/v2\/(.+)\/tags\/list$/, methods: /^(?:GET|HEAD)$/, kind: "tags" },
  { pattern: /^\/v2\/(.+)\/referrers\/([^/]+)$/, methods: /^(?:GET|HEAD)$/, kind: "referrers" },
];

/** Makes a registry of a directory. Throws CONFIG_INVALID for a bad htpasswd text. */
export async function createRegistry(options: RegistryOptions): Promise<RegistryServer> {
  return new Registry(options, await Repositories.open(options.directory, options.clock));
}

class Registry implements RegistryServer {
  readonly #options: RegistryOptions;
  readonly #repositories: Repositories;
  readonly #uploads: Uploads;
  readonly #users: Users | undefined;
  readonly #servers: Server[] = [];

  constructor(options: RegistryOptions, repositories: Repositories) {
    this.#options = options;
    this.#repositories = repositories;
    this.#uploads = new Uploads(options.clock, options.minChunk ?? 0);
    this.#users = options.htpasswd && new Users(options.htpasswd.text, options.htpasswd.path);
  }

  get repository(): string | undefined {
    return this.#repositories.single;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { onRequest, onError } = this.#options;
    for (const [name, value] of Object.entries(VERSION_HEADER)) response.setHeader(name, value);
    response.on("close", () => onRequest?.(request.method ?? "", request.url ?? "", response.statusCode));
    try {
      await this.#users?.check(request);
      await this.#route(request, response);
    } catch (error) {
      // A client that went away, in its request or in our answer, needs no answer and is no failure of ours.
      if ((request.destroyed && !request.complete) || systemCode(error) === "ERR_STREAM_PREMATURE_CLOSE") return;
      const refusal = refusalOf(error);
      if (refusal.status >= 500) onError?.(error);
      refuse(request, response, refusal);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = parseUrl(request.url ?? "");
    const method = request.method ?? "";
    if (/^\/v2\/?$/.test(url.pathname)) return answer(response, 200, { "content-type": "application/json" }, "{}");
    if (url.pathname === "/v2/_catalog")
      return page(response, url.searchParams, await this.#repositories.names(), "/v2/_catalog", (repositories) => ({
        repositories,
      }));
    for (const { pattern, methods, kind } of ROUTES) {
      const found = pattern.exec(url.pathname);
      if (!found?.[1]) continue;
      if (!methods.test(method)) throw new Refusal("UNSUPPORTED", `${method} is not for this address`);
      const isRead = method === "GET" || method === "HEAD";
      if (!isRead && this.#options.readOnly) throw new Refusal("DENIED", "this registry is read-only");
      const creates = kind === "uploads" || (kind === "manifest" && method === "PUT");
      const layout = await this.#repositories.get(found[1], creates).catch((error: unknown) => {
        if (kind === "referrers" && error instanceof Refusal && error.code === "NAME_UNKNOWN") return undefined;
        throw error;
      });
      // Where nothing is, nothing refers to anything: an empty list, not an error (OCI distribution 1.1, "Listing Referrers").
      if (layout === undefined) return answerReferrers(response, [], url.searchParams);
      return await this.#dispatch(
        kind,
        { name: found[1], layout, request, response, query: url.searchParams },
        found[2] ?? "",
      );
    }
    throw new Refusal("UNSUPPORTED", "there is nothing at this address", { status: 404 });
  }

  async #dispatch(kind: (typeof ROUTES)[number]["kind"], exchange: Exchange, thing: string): Promise<void> {
    const { name, request, response, query } = exchange;
    switch (kind) {
      case "blob":
        return await handleBlob(exchange, thing);
      case "manifest":
        return await handleManifest(exchange, thing);
      case "tags":
        return await handleTags(exchange);
      case "referrers":
        return await handleReferrers(exchange, thing);
      case "upload":
        return await this.#uploads.handle(name, thing, request, response, query.get("digest"));
      case "uploads":
        if (await this.#mounted(exchange)) return;
        return await this.#uploads.open(name, exchange.layout, request, response, query.get("digest"));
    }
  }

  /** A mount from another repository, or from any when none is named; what cannot be mounted becomes an upload. */
  async #mounted({ name, layout, response, query }: Exchange): Promise<boolean> {
    const digest = query.get("mount");
    if (digest === null) return false;
    if (!isDigest(digest))
      throw new Refusal("DIGEST_INVALID", `invalid digest ${JSON.stringify(digest.slice(0, 160))}`);
    const from = query.get("from");
    const sources = from === null ? await this.#repositories.names() : [from];
    for (const source of sources) {
      const other = await this.#repositories.get(source, false).catch(() => undefined);
      if (other === undefined || (await other.blobs.size(digest)) === undefined) continue;
      if (other !== layout && !(await layout.blobs.linkFrom(other.blobs, digest))) continue;
      answer(response, 201, created(name, digest));
      return true;
    }
    return false;
  }

  async listen({ host, port }: { host: string; port: number }): Promise<{ url: string; host: string; port: number }> {
    const { tls } = this.#options;
    const handler = (request: IncomingMessage, response: ServerResponse) => void this.handle(request, response);
    // Blobs may take long; headers may not, and no silence. The pace is not limited: uploads of many GB are what this is for.
    const limits = {
      requestTimeout: 0,
      headersTimeout: 30_000,
      keepAliveTimeout: 60_000,
      maxHeaderSize: 64 * 1024,
      highWaterMark: 1 << 20,
    };
    const server = tls ? createTlsServer({ ...limits, ...tls }, handler) : createServer(limits, handler);
    server.timeout = IDLE;
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error) => {
        const why = systemCode(cause) === "EADDRINUSE" ? "it is in use" : cause.message;
        reject(
          new StaveError("CONFIG_INVALID", `cannot listen on ${host}:${port}: ${why}`, {
            subject: `${host}:${port}`,
            hint: "choose another with --listen HOST:PORT",
            cause,
          }),
        );
      };
      server.once("error", onError);
      server.listen(port, host, () => {
        server.off("error", onError);
        resolve();
      });
    });
    this.#servers.push(server);
    const address = server.address();
    const actual = typeof address === "object" && address ? address.port : port;
    const shown = host.includes(":") ? `[${host}]` : host;
    return { url: `${tls ? "https" : "http"}://${shown}:${actual}`, host, port: actual };
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            const timer = setTimeout(() => server.closeAllConnections(), GRACE);
            server.close(() => {
              clearTimeout(timer);
              resolve();
            });
            server.closeIdleConnections();
          }),
      ),
    );
    await this.#uploads.close();
    await this.#repositories.close();
  }
}

function parseUrl(text: string): URL {
  const url =
    text.startsWith("/") && URL.canParse(text, "http://registry.invalid")
      ? new URL(text, "http://registry.invalid")
      : undefined;
  if (url === undefined) throw new Refusal("UNSUPPORTED", "the address is malformed", { status: 400 });
  return url;
}
