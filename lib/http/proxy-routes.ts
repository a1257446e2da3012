// Routes to hosts: direct or through a proxy, with the certificates of each host. A route is created at the first
// request to an origin and kept; closing ends all connections, even those still being opened.

import type { Socket } from "node:net";
import { createSecureContext } from "node:tls";
import type { Agent, buildConnector, Dispatcher } from "undici";
import { messageOf, StaveError } from "../errors.ts";
import { basicAuthorization, isDecodable } from "../printable/secret.ts";
import { closeAll } from "../util/close-all.ts";
import { type ProxySettings, proxyFor } from "./addresses.ts";
import { type CertificateOptions, Certificates } from "./certificates.ts";
import { bare, openTunnel, ProxyFailure, proxyName } from "./tunnel.ts";

/** The settings of routes. */
export interface WayOptions {
  certificates: CertificateOptions;
  insecureTls: boolean;
  proxy: ProxySettings;
  /**
   * The limit in milliseconds for each of: the connection with its TLS handshake, and a proxy's response to CONNECT.
   */
  connectTimeout: number;
  userAgent: string;
}

/** How to reach an origin. */
export interface Way {
  dispatcher: Dispatcher;
  /** The proxy's name for messages, if there is one. */
  proxy?: string;
  /** For a proxy that is sent whole URLs, as for plain http: its origin and the headers it needs. */
  forward?: { origin: string; headers: Record<string, string> };
}

/** Creates and keeps the routes of a transport. */
export class Ways {
  readonly #options: WayOptions;
  readonly #certificates: Certificates;
  readonly #known = new Map<string, Promise<Way>>();
  readonly #opening = new Set<Socket>();

  constructor(options: WayOptions) {
    this.#options = options;
    this.#certificates = new Certificates(options.certificates);
  }

  /** The route to a URL. Throws CONFIG_INVALID for invalid certificates or proxy settings. */
  to(url: URL): Promise<Way> {
    const known = this.#known.get(url.origin);
    if (known) return known;
    const made = this.#make(url);
    this.#known.set(url.origin, made);
    return made;
  }

  async #make(url: URL): Promise<Way> {
    const text = proxyFor(url, this.#options.proxy);
    if (text === undefined) return { dispatcher: await this.#agent(await this.#dialer(url)) };
    const proxy = proxyUrl(text);
    const name = proxyName(proxy);
    const dial = await this.#dialer(proxy);
    const authorization = proxyAuthorization(proxy);
    if (url.protocol === "http:") {
      const { hostname, host, port, protocol } = proxy;
      const connect: buildConnector.connector = (_options, callback) =>
        dial({ hostname: bare(hostname), host, port, protocol }, (error, socket) => {
          if (socket) callback(null, socket);
          else callback(new ProxyFailure(name, "cannot be reached", { cause: error }), null);
        });
      const headers = { host: url.host, ...(authorization ? { "proxy-authorization": authorization } : {}) };
      return { dispatcher: await this.#agent(connect), proxy: name, forward: { origin: proxy.origin, headers } };
    }
    const secure = await this.#dialer(url);
    const { connectTimeout, userAgent } = this.#options;
    const connect: buildConnector.connector = (options, callback) => {
      const { hostname, port } = options;
      const onSocket = (socket: Socket) => this.#track(socket);
      openTunnel(`${hostname.includes(":") ? `[${hostname}]` : hostname}:${port || "443"}`, {
        proxy,
        dial,
        authorization,
        timeout: connectTimeout,
        userAgent,
        onSocket,
      }).then(
        (socket) => secure({ ...options, httpSocket: socket }, callback),
        (error: unknown) => callback(error as Error, null),
      );
    };
    return { dispatcher: await this.#agent(connect), proxy: name };
  }

  async #agent(connect: buildConnector.connector): Promise<Agent> {
    // Loaded at the first request: it is a third of this library's import time, and directories do not need it.
    const undici = await import("./undici.ts");
    return new undici.Agent({
      // HostState assigns the slots; a limit here could block a download that feeds the upload it waits for.
      connections: null,
      pipelining: 1,
      // Without this, all requests to a host would wait for its first connection, to learn what it speaks.
      allowH2: false,
      keepAliveTimeout: 30_000,
      maxHeaderSize: 64 * 1024,
      connect,
    });
  }

  /** A connector that opens connections to a host. */
  async #dialer(url: URL): Promise<buildConnector.connector> {
    const { connectTimeout: timeout } = this.#options;
    const tls = url.protocol === "https:" ? await this.#tls(url) : {};
    const undici = await import("./undici.ts");
    // Over a long line, one connection for all requests is slower than one for each.
    const dial = undici.buildConnector({ timeout, allowH2: false, ...tls });
    return (options, callback) => {
      const socket = (dial as (...all: Parameters<buildConnector.connector>) => unknown)(options, callback);
      this.#track(socket as Socket);
    };
  }

  async #tls(url: URL): Promise<buildConnector.BuildOptions> {
    const rejectUnauthorized = !this.#options.insecureTls;
    const material = await this.#certificates.of(url.host);
    try {
      // Created once: hundreds of authorities take 20 ms to parse, and every connection would parse them again.
      return { rejectUnauthorized, secureContext: createSecureContext(material) };
    } catch (cause) {
      throw new StaveError("CONFIG_INVALID", `the certificates for ${url.host} cannot be used: ${messageOf(cause)}`, {
        subject: url.host,
        cause,
        hint: "check `caFiles`, `clientCertificate.certificate`, `clientCertificate.key` and the files below certs.d",
      });
    }
  }

  #track(socket: Socket): void {
    this.#opening.add(socket);
    socket.once("close", () => this.#opening.delete(socket));
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    const all = [...this.#known.values()];
    this.#known.clear();
    // A route that could not be created has already failed its request.
    const made = (await Promise.allSettled(all)).filter((one) => one.status === "fulfilled");
    await closeAll([
      ...made.map(
        ({ value }) =>
          () =>
            value.dispatcher.destroy(),
      ),
      // undici does not destroy connections that are still being opened.
      ...[...this.#opening].map((socket) => () => void socket.on("error", () => {}).destroy()),
    ]);
  }
}

function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === "") return undefined;
  return basicAuthorization(decodeURIComponent(proxy.username), decodeURIComponent(proxy.password));
}

function proxyUrl(text: string): URL {
  const url = text.includes("://") ? text : `http://${text}`;
  const proxy = URL.parse(url);
  if (proxy && /^https?:$/.test(proxy.protocol)) {
    if (isDecodable(proxy.username) && isDecodable(proxy.password)) return proxy;
    throw new StaveError("CONFIG_INVALID", `the user or password for the proxy ${proxyName(proxy)} has a stray %`, {
      hint: "write %25 for it in HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
    });
  }
  throw new StaveError("CONFIG_INVALID", "the proxy setting is not an http or https address", {
    hint: "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
  });
}
