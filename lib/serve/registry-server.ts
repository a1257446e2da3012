// Serves a directory as a registry: the complete OCI distribution 1.1 interface on Node's own server.

import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";
import { StaveError, systemCode } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import { closeAll } from "../util/close-all.ts";
import { type Clock, systemClock } from "../util/time.ts";
import { answer, refuse } from "./answer.ts";
import { ClientGone, PATIENCE } from "./body.ts";
import { bareName, checkBrowser, isLocalAddress, type LocalNames, NO_PAGE_HEADERS } from "./browser-guard.ts";
import { answerReferrers, handleBlob, handleReferrers, handleTags, page } from "./content.ts";
import type { Exchange } from "./exchange.ts";
import { handleManifest, putManifest } from "./manifest-answers.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { Repositories } from "./repositories.ts";
import { created, Uploads } from "./uploads.ts";
import { Users } from "./users.ts";
import { answerPage, type PageRepositories, WEB, type WebPages } from "./web-pages.ts";

/** How to serve a directory. */
export interface RegistryOptions {
  /** A layout, or a folder with a layout per repository; created if it does not exist, unless read-only. */
  directory: string;
  /** Default: the system's. */
  clock?: Clock | undefined;
  readOnly?: boolean | undefined;
  /** Certificate and key as PEM texts. */
  tls?: { cert: string; key: string } | undefined;
  /** The text of an htpasswd file, and its name for messages. */
  htpasswd?: { text: string; path: string } | undefined;
  /** Asks clients for chunks of at least this many bytes. */
  minChunk?: number | undefined;
  /** Accept manifests with missing layers or images. */
  sparse?: boolean | undefined;
  /**
   * Further names that clients may use in the `Host` header if the server listens only on this machine without TLS, for
   * example the name of a proxy in front of it. Always admitted: the host it listens on, addresses, `localhost`, and
   * names below `localhost` and `internal`.
   */
  hosts?: readonly string[] | undefined;
  /** How long a client may send nothing, or almost nothing, in milliseconds; default 30 000. */
  patience?: number | undefined;
  /** Makes the pages that browsers get at /web/; default none. @internal */
  pages?: ((repositories: PageRepositories) => WebPages) | undefined;
  /** Called at the end of each request; status 499 means that the client left before the response. */
  onRequest?: ((method: string, url: string, status: number) => void) | undefined;
  /** Called with failures that the client did not cause. */
  onError?: ((error: unknown) => void) | undefined;
}

/** A registry that listens by itself or handles requests of an existing server. */
export interface RegistryServer {
  /** The only repository, if the directory is one layout. */
  readonly repository: string | undefined;
  /** Handles one request of an existing server, which has to check the `Host` header itself. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Listens; port 0 selects a free one. Throws CONFIG_INVALID if the address cannot be used. */
  listen(at: { host: string; port: number }): Promise<{ url: string; host: string; port: number }>;
  /** Waits for running requests, then closes. */
  close(): Promise<void>;
}

const COMMON_HEADERS = { "docker-distribution-api-version": "registry/2.0", ...NO_PAGE_HEADERS };
/** How long requests may continue after `close`, in milliseconds. */
const GRACE = 10_000;
/** An idle connection is closed after this many milliseconds; longer than hashing a huge blob takes. */
const IDLE = 10 * 60 * 1000;
/** Maximum number of connections at once; further ones are closed immediately. */
const MAX_CONNECTIONS = 4096;
/** The logged status of a request whose client left before the response. */
const CLIENT_LEFT = 499;

type Kind = "blob" | "manifest" | "put" | "tags" | "referrers" | "uploads" | "upload";

const ROUTES: { pattern: RegExp; methods: RegExp; kind: Kind }[] = [
  { pattern: /^\/v2\/(.+)\/blobs\/uploads\/?$/, methods: /^POST$/, kind: "uploads" },
  { pattern: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/, methods: /^(?:GET|HEAD|PATCH|PUT|DELETE)$/, kind: "upload" },
  { pattern: /^\/v2\/(.+)\/blobs\/([^/]+)$/, methods: /^(?:GET|HEAD|DELETE)$/, kind: "blob" },
  { pattern: /^\/v2\/(.+)\/manifests\/([^/]+)$/, methods: /^PUT$/, kind: "put" },
  { pattern: /^\/v2\/(.+)\/manifests\/([^/]+)$/, methods: /^(?:GET|HEAD|DELETE)$/, kind: "manifest" },
  { pattern: /^\/v2\/(.+)\/tags\/list$/, methods: /^(?:GET|HEAD)$/, kind: "tags" },
  { pattern: /^\/v2\/(.+)\/referrers\/([^/]+)$/, methods: /^(?:GET|HEAD)$/, kind: "referrers" },
];

/** Creates a registry from a directory. Throws CONFIG_INVALID for a bad htpasswd text. */
export async function createRegistry(options: RegistryOptions): Promise<RegistryServer> {
  const repositories = await Repositories.open(options.directory, options.clock ?? systemClock);
  if (!options.readOnly) await repositories.recover((error) => options.onError?.(error));
  return new Registry(options, repositories);
}

class Registry implements RegistryServer {
  readonly #options: RegistryOptions;
  readonly #repositories: Repositories;
  readonly #uploads: Uploads;
  readonly #users: Users | undefined;
  readonly #pages: WebPages | undefined;
  readonly #patience: number;
  readonly #servers: Server[] = [];
  /** The latest response of each connection. */
  readonly #responses = new WeakMap<Duplex, ServerResponse>();

  constructor(options: RegistryOptions, repositories: Repositories) {
    this.#options = options;
    this.#repositories = repositories;
    this.#patience = options.patience ?? PATIENCE;
    this.#uploads = new Uploads({
      clock: options.clock ?? systemClock,
      minChunk: options.minChunk ?? 0,
      patience: this.#patience,
    });
    this.#pages = options.pages?.(repositories);
    this.#users = options.htpasswd && new Users(options.htpasswd.text, options.htpasswd.path);
  }

  get repository(): string | undefined {
    return this.#repositories.single;
  }

  async handle(request: IncomingMessage, response: ServerResponse, names?: LocalNames): Promise<void> {
    const { onRequest, onError } = this.#options;
    for (const [name, value] of Object.entries(COMMON_HEADERS)) response.setHeader(name, value);
    this.#responses.set(request.socket, response);
    response.on("close", () =>
      onRequest?.(request.method ?? "", request.url ?? "", response.headersSent ? response.statusCode : CLIENT_LEFT),
    );
    try {
      checkBrowser(request, names);
      const user = await this.#users?.check(request);
      await this.#route(request, response, user ?? request.socket.remoteAddress ?? "");
    } catch (error) {
      // A client that disconnected needs no response, and its errors are not the server's.
      if (error instanceof ClientGone || response.destroyed || systemCode(error) === "ERR_STREAM_PREMATURE_CLOSE")
        return;
      const refusal = refusalOf(error);
      if (refusal !== error && refusal.status >= 500) onError?.(error);
      refuse(response, refusal);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, client: string): Promise<void> {
    const url = parseUrl(request.url ?? "");
    const method = request.method ?? "";
    if (/^\/v2\/?$/.test(url.pathname)) return answer(response, 200, { "content-type": "application/json" }, "{}");
    if (url.pathname === "/v2/_catalog")
      return page(response, url.searchParams, await this.#repositories.catalog(), "/v2/_catalog", (repositories) => ({
        repositories,
      }));
    if (this.#pages !== undefined) {
      if (url.pathname.startsWith(WEB))
        return await answerPage(this.#pages, url.pathname.slice(WEB.length), request, response);
      if (url.pathname === "/web" || (url.pathname === "/" && (method === "GET" || method === "HEAD")))
        return answer(response, 302, { location: WEB });
    }
    const routes = ROUTES.filter(({ pattern }) => pattern.test(url.pathname));
    const route = routes.find(({ methods }) => methods.test(method));
    if (route === undefined && routes.length > 0) throw new Refusal("UNSUPPORTED", `${method} is not for this address`);
    const [, name, thing = ""] = route?.pattern.exec(url.pathname) ?? [];
    if (route !== undefined && name !== undefined) {
      const isRead = method === "GET" || method === "HEAD";
      if (!isRead && this.#options.readOnly) throw new Refusal("DENIED", "this registry is read-only");
      const asked = { name, client, request, response, query: url.searchParams };
      if (route.kind === "put") return await this.#put(asked, thing);
      const layout = await this.#repositories.get(name, route.kind === "uploads").catch((error: unknown) => {
        if (route.kind === "referrers" && isUnknownName(error)) return undefined;
        throw error;
      });
      // Nothing refers to anything in an unknown repository: an empty list, not an error (OCI distribution 1.1,
      // "Listing Referrers").
      if (layout === undefined) return answerReferrers(response, [], url.searchParams);
      return await this.#dispatch(route.kind, { ...asked, layout }, thing);
    }
    throw new Refusal("UNSUPPORTED", "there is nothing at this address", { status: 404 });
  }

  async #put(asked: Omit<Exchange, "layout">, reference: string): Promise<void> {
    const layout = await this.#repositories.get(asked.name, false).catch((error: unknown) => {
      if (isUnknownName(error)) return undefined;
      throw error;
    });
    const create = () => this.#repositories.get(asked.name, true);
    const rules = { sparse: this.#options.sparse ?? false, patience: this.#patience };
    return await putManifest({ ...asked, layout, create }, reference, rules);
  }

  async #dispatch(kind: Exclude<Kind, "put">, exchange: Exchange, thing: string): Promise<void> {
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
        return await this.#uploads.handle(exchange, thing);
      case "uploads":
        if (await this.#mounted(exchange)) return;
        return await this.#uploads.open(exchange);
    }
  }

  /** Mounts from another repository, or from any if none is named; what cannot be mounted becomes an upload. */
  async #mounted({ name, layout, response, query }: Exchange): Promise<boolean> {
    const digest = query.get("mount");
    if (digest === null) return false;
    if (!isDigest(digest))
      throw new Refusal("DIGEST_INVALID", `invalid digest ${JSON.stringify(digest.slice(0, 160))}`);
    const from = query.get("from");
    const sources = from === null ? await this.#repositories.names() : [from];
    for (const source of sources) {
      const other = await this.#repositories.get(source, false).catch(() => undefined);
      if (other === undefined || other.blobs.size(digest) === undefined) continue;
      if (other !== layout && !(await layout.blobs.linkFrom(other.blobs, digest))) continue;
      answer(response, 201, created(name, digest));
      return true;
    }
    return false;
  }

  async listen({ host, port }: { host: string; port: number }): Promise<{ url: string; host: string; port: number }> {
    const { tls } = this.#options;
    let names: LocalNames;
    const handler = (request: IncomingMessage, response: ServerResponse) => void this.handle(request, response, names);
    // Blobs may take long; headers and silence may not. The rate is not limited, because uploads may have many GB.
    const limits = {
      requestTimeout: 0,
      headersTimeout: this.#patience,
      connectionsCheckingInterval: Math.min(5000, this.#patience),
      keepAliveTimeout: 60_000,
      maxHeaderSize: 64 * 1024,
      highWaterMark: 1 << 20,
    };
    const server = tls ? createTlsServer({ ...limits, ...tls }, handler) : createServer(limits, handler);
    server.timeout = IDLE;
    server.maxConnections = MAX_CONNECTIONS;
    server.on("clientError", (error, socket) => this.#refuseSocket(error, socket));
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error) => {
        const why = systemCode(cause) === "EADDRINUSE" ? "it is in use" : cause.message;
        reject(
          new StaveError("CONFIG_INVALID", `cannot listen on ${host}:${port}: ${why}`, {
            subject: `${host}:${port}`,
            hint: "choose another with `listen`",
            cause,
          }),
        );
      };
      server.once("error", onError);
      server.listen(port, host, () => {
        server.off("error", onError);
        // A connection that cannot be accepted, for example for lack of descriptors, does not end the server.
        server.on("error", (error) => this.#options.onError?.(error));
        resolve();
      });
    });
    this.#servers.push(server);
    const address = server.address();
    const actual = typeof address === "object" && address ? address.port : port;
    if (!tls && typeof address === "object" && address && isLocalAddress(address.address))
      names = new Set([host, ...(this.#options.hosts ?? [])].map(bareName));
    const shown = host.includes(":") ? `[${host}]` : host;
    return { url: `${tls ? "https" : "http"}://${shown}:${actual}`, host, port: actual };
  }

  /** Responds to malformed HTTP, or to headers that do not arrive. */
  #refuseSocket(error: Error, socket: Duplex): void {
    const statuses: Record<string, number> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 };
    const code = systemCode(error) ?? "";
    const response = this.#responses.get(socket);
    const isUnderWay = response !== undefined && !response.closed;
    if (code === "ECONNRESET" || !socket.writable || (isUnderWay && response.headersSent)) {
      socket.destroy();
      return;
    }
    const status = statuses[code] ?? 400;
    // A request in progress is logged by itself.
    if (!isUnderWay) this.#options.onRequest?.("-", "-", status);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    // Do not wait for the client: it may never close its side.
    setTimeout(() => socket.destroy(), 1000).unref();
  }

  async close(): Promise<void> {
    await closeAll([
      () => this.#users?.close(),
      async () => void (await Promise.all(this.#servers.map(closeServer))),
      () => this.#uploads.close(),
      () => this.#repositories.close(),
    ]);
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), GRACE);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function isUnknownName(error: unknown): boolean {
  return error instanceof Refusal && error.code === "NAME_UNKNOWN";
}

function parseUrl(text: string): URL {
  const url = text.startsWith("/") ? URL.parse(text, "http://registry.invalid") : null;
  if (url === null) throw new Refusal("UNSUPPORTED", "the address is malformed", { status: 400 });
  return url;
}
