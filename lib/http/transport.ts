// The one way to the network: a dispatcher for each origin, limits and back-off shared per host, credentials, redirects,
// proxies and traces. Retrying is decided in retry.ts, errors are named in response.ts.
import type { Readable } from "node:stream";
import { Agent, type Dispatcher, ProxyAgent } from "undici";
import { StaveError } from "../errors.ts";
import { SingleFlight } from "../util/limit.ts";
import { readAll } from "../util/stream.ts";
import type { Clock } from "../util/time.ts";
import { type CertificateOptions, certificatesFor } from "./certificates.ts";
import { HostState } from "./host.ts";
import { isLoopback, type ProxySettings, proxyFor } from "./network.ts";
import { headerOf, isPlainHttpAnswer, networkError, redactUrl, responseError } from "./response.ts";
import { isRetryableStatus, type Outcome, parseRetryAfter, withRetry } from "./retry.ts";
import type { HttpRequest, HttpResponse, RetryBudget, TraceEvent, Transport } from "./types.ts";

/** How the network is used; everything from the environment comes in here. */
export interface TransportOptions {
  clock: Clock;
  /** Speak plain http, with credentials, to any host that the user named without a scheme. */
  plainHttp?: boolean | undefined;
  insecureTls?: boolean | undefined;
  certificates?: CertificateOptions | undefined;
  proxy?: ProxySettings | undefined;
  /** Milliseconds without an answer or a byte before a request has failed. Default 60 000. */
  timeout?: number | undefined;
  retry?: Partial<RetryBudget> | undefined;
  userAgent?: string | undefined;
  trace?: ((event: TraceEvent) => void) | undefined;
  /** Told of every wait that a user would notice. */
  onWait?: ((milliseconds: number, reason: string) => void) | undefined;
}

const MAX_REDIRECTS = 10;
const DEFAULT_TIMEOUT = 60_000;
/** Nine tries and fifteen minutes: enough for a registry that restarts or a limit that is lifted by the minute. */
const DEFAULT_RETRY: RetryBudget = { attempts: 9, milliseconds: 15 * 60_000 };
/** What may be seen of headers in a trace. */
const TRACED_HEADERS =
  /^(?:content-.*|docker-.*|etag|link|location|oci-.*|range|retry-after|ratelimit-.*|www-authenticate|date|server)$/;

/** Makes the transport of a process; `close` it at the end. */
export function createTransport(options: TransportOptions): Transport {
  return new UndiciTransport(options);
}

class UndiciTransport implements Transport {
  readonly retry: RetryBudget;
  readonly #options: TransportOptions;
  readonly #hosts = new Map<string, HostState>();
  readonly #dispatchers = new Map<string, Promise<Dispatcher>>();
  readonly #schemes = new Map<string, "https" | "http">();
  readonly #probes = new SingleFlight<"https" | "http">();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
  }

  maySendSecrets(url: URL): boolean {
    return url.protocol === "https:" || isLoopback(url.hostname) || this.#options.plainHttp === true;
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    return await this.#tries(request, async (attempt) => ({ done: await this.#send(request, attempt) }));
  }

  async requestBytes(request: HttpRequest, limit: number): Promise<HttpResponse & { bytes: Buffer }> {
    return await this.#tries(request, async (attempt) => {
      const response = await this.#send(request, attempt);
      const announced = Number(headerOf(response, "content-length") ?? "0");
      if (announced > limit && request.method !== "HEAD") {
        response.body.destroy();
        throw new StaveError(
          "TOO_LARGE",
          `${request.subject} has ${announced} bytes, more than the limit of ${limit}`,
          {
            op: request.op,
            subject: request.subject,
          },
        );
      }
      try {
        return { done: { ...response, bytes: await readAll(response.body, limit, request.subject) } };
      } catch (cause) {
        request.signal?.throwIfAborted();
        if (cause instanceof StaveError) throw cause;
        throw networkError(request, response.url, cause);
      }
    });
  }

  /** The loop around one request: what failed in a way that may pass is tried again. */
  #tries<T>(request: HttpRequest, attempt: (number: number) => Promise<Outcome<T>>): Promise<T> {
    const { clock, onWait } = this.#options;
    const budget = request.retry === false ? { ...this.retry, attempts: 1 } : this.retry;
    const tell = (milliseconds: number, reason: StaveError) => {
      if (milliseconds >= 1000) onWait?.(milliseconds, reason.message);
    };
    return withRetry(budget, { clock, signal: request.signal, onWait: tell }, async (number) => {
      try {
        return await attempt(number);
      } catch (error) {
        request.signal?.throwIfAborted();
        const again = networkError(request, request.url, error);
        if (!mayPass(again)) throw again;
        return { again, after: this.#host(request.url).pauseLeft(clock.now()) };
      }
    });
  }

  /** One try: a place at the host, credentials, redirects. */
  async #send(request: HttpRequest, attempt: number): Promise<HttpResponse> {
    const { clock } = this.#options;
    const host = this.#host(request.url);
    const longest = this.retry.milliseconds;
    const release = await host.enter(request.traffic ?? "metadata", { clock, longest, signal: request.signal });
    let isHeld = false;
    try {
      const response = await this.#authorized(request, attempt);
      this.#learn(host, response);
      if (!request.accept.includes(response.status)) throw await responseError(request, response);
      // The place is kept for as long as bytes are under way.
      isHeld = true;
      if (response.body.readableEnded || response.body.destroyed) release();
      else response.body.once("close", release);
      return response;
    } finally {
      if (!isHeld) release();
    }
  }

  #learn(host: HostState, response: HttpResponse): void {
    const { clock } = this.#options;
    if (isRetryableStatus(response.status)) {
      const asked = parseRetryAfter(response.headers["retry-after"], clock.now());
      host.pushedBack(response.status === 429, asked, clock.now());
    } else host.succeeded();
  }

  async #authorized(request: HttpRequest, attempt: number): Promise<HttpResponse> {
    const { auth, url } = request;
    if (auth === undefined || !this.maySendSecrets(url)) return await this.#redirected(request, undefined, attempt);
    const who = { registry: auth.registry, origin: url.origin, scopes: auth.scopes };
    let sent = await auth.authorizer.authorize(who, request.signal);
    for (let isSecond = false; ; isSecond = true) {
      const response = await this.#redirected(request, sent, attempt);
      // An answer from elsewhere is not this registry's challenge.
      if (response.status !== 401 || response.url.origin !== url.origin) return response;
      const header = response.headers["www-authenticate"] ?? [];
      response.body.destroy();
      const refusal = { challenges: Array.isArray(header) ? header : [header], sent, isSecond };
      sent = await auth.authorizer.challenged(who, refusal, request.signal);
    }
  }

  async #redirected(request: HttpRequest, authorization: string | undefined, attempt: number): Promise<HttpResponse> {
    let { url, method } = request;
    const seen = new Set<string>();
    for (;;) {
      // A secret goes to the origin it was made for, and nowhere else.
      const secret = url.origin === request.url.origin ? authorization : undefined;
      const response = await this.#exchange(request, method, url, secret, attempt);
      const location = headerOf(response, "location");
      if (
        ![301, 302, 303, 307, 308].includes(response.status) ||
        location === undefined ||
        request.accept.includes(response.status)
      )
        return response;
      response.body.destroy();
      seen.add(`${method} ${url.href}`);
      url = redirectTarget(location, url, request);
      if (response.status <= 303 && method !== "GET" && method !== "HEAD") {
        if (response.status !== 303)
          throw redirectError(request, url, "a redirect that would change the request's method");
        method = "GET";
      }
      if (seen.has(`${method} ${url.href}`)) throw redirectError(request, url, "a redirect loop");
      if (seen.size >= MAX_REDIRECTS) throw redirectError(request, url, `more than ${MAX_REDIRECTS} redirects`);
    }
  }

  async #exchange(
    request: HttpRequest,
    method: HttpRequest["method"],
    url: URL,
    authorization: string | undefined,
    attempt: number,
  ): Promise<HttpResponse> {
    const { clock, trace, timeout = DEFAULT_TIMEOUT } = this.#options;
    const started = clock.now();
    const event = { time: started, method, url: redactUrl(url), attempt };
    const dispatcher = await this.#dispatcher(url);
    const headers: Record<string, string> = { ...request.headers, "user-agent": this.#options.userAgent ?? "stave" };
    if (authorization !== undefined) headers["authorization"] = authorization;
    let body: Readable | Uint8Array | null = null;
    if (method !== "GET" && method !== "HEAD" && request.body !== undefined)
      body = typeof request.body === "function" ? await request.body() : request.body;
    try {
      const answer = await dispatcher.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers,
        body,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        signal: request.signal ?? null,
      });
      // Whoever reads the body hears of its errors; nobody else needs to.
      answer.body.on("error", () => {});
      trace?.({
        ...event,
        status: answer.statusCode,
        milliseconds: clock.now() - started,
        headers: tracedHeaders(answer.headers),
      });
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url };
    } catch (cause) {
      if (body !== null && "destroy" in body) body.destroy();
      request.signal?.throwIfAborted();
      const error = networkError(request, url, cause);
      trace?.({ ...event, milliseconds: clock.now() - started, error: error.message });
      throw error;
    }
  }

  async schemeFor(host: string, signal?: AbortSignal): Promise<"https" | "http"> {
    const known = this.#schemes.get(host);
    if (known) return known;
    if (this.#options.plainHttp) return "http";
    const https = new URL(`https://${host}/v2/`);
    if (!isLoopback(https.hostname)) return "https";
    return await this.#probes.run(host, async () => {
      const scheme = await this.#probe(https, signal);
      this.#schemes.set(host, scheme);
      return scheme;
    });
  }

  /** As docker does with a registry on the own machine: TLS first, plain http when the server does not know TLS. */
  async #probe(url: URL, signal: AbortSignal | undefined): Promise<"https" | "http"> {
    const request: HttpRequest = { method: "GET", url, accept: [], op: "reach", subject: url.host, signal };
    try {
      const response = await this.#exchange(request, "GET", url, undefined, 1);
      response.body.destroy();
      return "https";
    } catch (error) {
      if (error instanceof StaveError && isPlainHttpAnswer(error.cause)) return "http";
      throw error;
    }
  }

  #host(url: URL): HostState {
    const known = this.#hosts.get(url.host);
    if (known) return known;
    const made = new HostState(url.host);
    this.#hosts.set(url.host, made);
    return made;
  }

  #dispatcher(url: URL): Promise<Dispatcher> {
    const known = this.#dispatchers.get(url.origin);
    if (known) return known;
    const made = this.#makeDispatcher(url);
    this.#dispatchers.set(url.origin, made);
    return made;
  }

  async #makeDispatcher(url: URL): Promise<Dispatcher> {
    const { certificates = {}, insecureTls, proxy = {}, timeout = DEFAULT_TIMEOUT } = this.#options;
    const tls = { ...(await certificatesFor(url.host, certificates)), rejectUnauthorized: insecureTls !== true };
    const common = {
      // Places are given out by HostState; a limit here could make a download wait for the upload that waits for it.
      connections: null,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      maxHeaderSize: 64 * 1024,
      connectTimeout: Math.min(timeout, 30_000),
    };
    const way = proxyFor(url, proxy);
    if (way === undefined) return new Agent({ ...common, connect: { ...tls, timeout: common.connectTimeout } });
    const to = proxyUrl(way);
    const token =
      to.username === ""
        ? {}
        : {
            token: `Basic ${Buffer.from(`${decodeURIComponent(to.username)}:${decodeURIComponent(to.password)}`).toString("base64")}`,
          };
    return new ProxyAgent({
      ...common,
      uri: to.origin,
      ...token,
      requestTls: tls,
      proxyTls: { rejectUnauthorized: tls.rejectUnauthorized, ...(tls.ca ? { ca: tls.ca } : {}) },
    });
  }

  async close(): Promise<void> {
    const all = [...this.#dispatchers.values()];
    this.#dispatchers.clear();
    // A dispatcher that could not be made has already failed its request.
    for (const made of await Promise.allSettled(all)) if (made.status === "fulfilled") await made.value.destroy();
  }
}

/** Failures that another try may not meet: the network's, and those the status itself calls passing. */
function mayPass(error: StaveError): boolean {
  if (error.status !== undefined) return isRetryableStatus(error.status);
  return (
    error.code === "TIMEOUT" ||
    (error.code === "NETWORK" && !(error.cause instanceof Error && /not a known host/.test(error.message)))
  );
}

function redirectTarget(location: string, from: URL, request: HttpRequest): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (target === undefined || (target.protocol !== "https:" && target.protocol !== "http:"))
    throw redirectError(request, from, "a redirect to something that is no web address");
  if (from.protocol === "https:" && target.protocol === "http:")
    throw redirectError(request, target, "a redirect from https to plain http");
  return target;
}

function redirectError(request: HttpRequest, url: URL, what: string): StaveError {
  const { op, subject } = request;
  return new StaveError("REGISTRY_ERROR", `cannot ${op} ${subject}: ${what} (at ${redactUrl(url)})`, { op, subject });
}

function tracedHeaders(headers: HttpResponse["headers"]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !TRACED_HEADERS.test(name)) continue;
    const text = Array.isArray(value) ? value.join(", ") : value;
    out[name] = name === "location" ? redactLocation(text) : text.slice(0, 500);
  }
  return out;
}

function redactLocation(text: string): string {
  const url = URL.canParse(text, "http://relative.invalid") ? new URL(text, "http://relative.invalid") : undefined;
  return url === undefined ? "(malformed)" : redactUrl(url).replace(/^http:\/\/relative\.invalid/, "");
}

function proxyUrl(text: string): URL {
  const url = text.includes("://") ? text : `http://${text}`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return new URL(url);
  throw new StaveError("CONFIG_INVALID", "the proxy setting is not an http or https address", {
    hint: "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
  });
}
