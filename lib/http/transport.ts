// The one way to the network: a dispatcher per origin, limits and back-off shared per host, credentials, redirects,
// proxies and traces. retry.ts decides about retries, response.ts creates errors.
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { isStaveError, StaveError } from "../errors.ts";
import { isUnreachable } from "../util/failures.ts";
import { SingleFlight, unlessAborted } from "../util/limit.ts";
import { readAll } from "../util/stream.ts";
import type { Clock } from "../util/time.ts";
import { isLoopback, type ProxySettings } from "./addresses.ts";
import type { CertificateOptions } from "./certificates.ts";
import { FreedBody } from "./freed-body.ts";
import { HostState } from "./host-limits.ts";
import { Ways } from "./proxy-routes.ts";
import { Route } from "./redirects.ts";
import {
  headerOf,
  isPlainHttpAnswer,
  isWebPage,
  networkError,
  proxyRefusal,
  redactUrl,
  responseError,
  saysHtml,
  webPageError,
} from "./response.ts";
import {
  isRetryableStatus,
  mayPass,
  type Outcome,
  Patience,
  parseReset,
  parseRetryAfter,
  type RetryBudget,
  type RetryHooks,
  withRetry,
} from "./retry.ts";
import { tracedHeaders } from "./trace.ts";
import type { HttpRequest, HttpResponse, TraceEvent, Transport } from "./types.ts";
import { Exchange, Watch } from "./watch.ts";

/** How to use the network; everything from the environment is passed in here. */
export interface TransportOptions {
  clock: Clock;
  /** Use plain http, and send credentials over it, for every host that the user named without a scheme. */
  plainHttp?: boolean | undefined;
  insecureTls?: boolean | undefined;
  certificates?: CertificateOptions | undefined;
  proxy?: ProxySettings | undefined;
  /** Milliseconds without a response or a byte before a request fails. Default 60 000. */
  timeout?: number | undefined;
  /**
   * Milliseconds for opening a connection, and for a proxy's response to CONNECT. Default: `timeout`, at most 30 000.
   */
  connectTimeout?: number | undefined;
  /** The least bytes per second of a transfer, averaged over `timeout`. Default 1024; 0 allows any rate. */
  minRate?: number | undefined;
  retry?: Partial<RetryBudget> | undefined;
  userAgent?: string | undefined;
  trace?: ((event: TraceEvent) => void) | undefined;
  /** Milliseconds after which a wait is reported. Default 5000. */
  tellAfter?: number | undefined;
  /** Called during every wait that a user would notice, with its duration so far and its reason. */
  onWait?: ((milliseconds: number, reason: string) => void) | undefined;
}

/** The pause if a server limits requests without saying for how long, in milliseconds. */
const UNNAMED_PAUSE = 60_000;

const DEFAULT_TIMEOUT = 60_000;
const DEFAULT_MIN_RATE = 1024;
const LONGEST_CONNECT = 30_000;
/** A document (a manifest, a page of tags, a token) must arrive completely within this many timeouts. */
const DOCUMENT_TIMEOUTS = 5;
/** The total attempts for an unreachable host that has never responded in this run. */
const UNREACHABLE_TRIES = 3;
/** Larger bodies are sent in pieces of this size, so that progress is visible. */
const PIECE = 64 * 1024;
/** Nine attempts and fifteen minutes: enough for a registry that restarts, or a rate limit per minute. */
const DEFAULT_RETRY: RetryBudget = { attempts: 9, milliseconds: 15 * 60_000 };

/** Creates the transport of a process; `close` it at the end. */
export function createTransport(options: TransportOptions): Transport {
  return new UndiciTransport(options);
}

class UndiciTransport implements Transport {
  readonly retry: RetryBudget;
  readonly #options: TransportOptions;
  readonly #hosts = new Map<string, HostState>();
  readonly #ways: Ways;
  readonly #watch: Watch;
  /** Aborts whatever has no signal of its own. */
  readonly #closing = new AbortController();
  readonly #schemes = new Map<string, "https" | "http">();
  readonly #probes = new SingleFlight<"https" | "http">();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.retry = { ...DEFAULT_RETRY, ...options.retry };
    const { timeout = DEFAULT_TIMEOUT, onWait, tellAfter } = options;
    this.#watch = new Watch({ minRate: options.minRate ?? DEFAULT_MIN_RATE, window: timeout, onWait, tellAfter });
    this.#ways = new Ways({
      certificates: options.certificates ?? {},
      insecureTls: options.insecureTls === true,
      proxy: options.proxy ?? {},
      connectTimeout: options.connectTimeout ?? Math.min(timeout, LONGEST_CONNECT),
      userAgent: this.#userAgent,
    });
  }

  maySendSecrets(url: URL): boolean {
    return url.protocol === "https:" || isLoopback(url.hostname) || this.#options.plainHttp === true;
  }

  isAuthentic(url: URL): boolean {
    return this.maySendSecrets(url) && !(url.protocol === "https:" && this.#options.insecureTls === true);
  }

  get #userAgent(): string {
    return this.#options.userAgent ?? "stave";
  }

  patience(): Patience {
    return new Patience(this.retry, this.#options.clock);
  }

  retryHooks(host: string, signal?: AbortSignal): RetryHooks {
    const { clock } = this.#options;
    return {
      clock,
      signal,
      pause: (milliseconds, reason, patience) =>
        this.#pause(milliseconds, { host, patience, why: `${reason.message}; trying again`, signal }),
    };
  }

  /** Waits deliberately; reports a long wait with its reason. */
  async #pause(
    milliseconds: number,
    wait: { host: string; patience: Patience; why: string; signal: AbortSignal | undefined },
  ): Promise<void> {
    const { host, patience, why, signal = this.#closing.signal } = wait;
    const until = performance.now() + milliseconds;
    const reason = () => `${why} in ${Math.max(1, Math.round((until - performance.now()) / 1000))} s`;
    const end = this.#watch.begin({ host, patience, reason });
    try {
      await this.#options.clock.sleep(milliseconds, signal);
    } finally {
      end();
    }
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    return await this.#tries(request, async (attempt, patience) =>
      this.#send(request, attempt, { patience, longest: this.#longest(request) }),
    );
  }

  /** Maximum number of milliseconds for the response to a request. */
  #longest({ traffic = "metadata", isDocument = traffic === "metadata" || traffic === "token" }: HttpRequest) {
    return isDocument ? DOCUMENT_TIMEOUTS * (this.#options.timeout ?? DEFAULT_TIMEOUT) : undefined;
  }

  async requestBytes(request: HttpRequest, limit: number): Promise<HttpResponse & { bytes: Buffer }> {
    return await this.#tries(request, async (attempt, patience) => {
      const response = await this.#send(request, attempt, { patience, longest: this.#longest(request) });
      const announced = Number(headerOf(response, "content-length") ?? "0");
      if (announced > limit && request.method !== "HEAD") {
        response.body.destroy();
        throw tooLarge(request, response, `${announced} bytes, more than the limit of ${limit}`);
      }
      try {
        const bytes = await readAll(response.body, limit, request.subject);
        // Neither registries nor token services respond in HTML, so something in between did.
        if (response.status < 300 && isWebPage(bytes)) throw webPageError(request, response.url);
        return { ...response, bytes };
      } catch (cause) {
        request.signal?.throwIfAborted();
        if (isStaveError(cause, "TOO_LARGE"))
          throw tooLarge(request, response, `more than the limit of ${limit} bytes`);
        if (cause instanceof StaveError) throw cause;
        throw networkError(request, response.url, cause, response.proxy);
      }
    });
  }

  /** The retry loop around one request. */
  async #tries<T>(request: HttpRequest, attempt: (number: number, patience: Patience) => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const patience = request.patience ?? this.patience();
    const host = this.#host(request.url);
    const hooks = this.retryHooks(request.url.host, request.signal);
    const once = async (number: number): Promise<Outcome<T>> => {
      try {
        return { done: await attempt(number, patience) };
      } catch (error) {
        request.signal?.throwIfAborted();
        const again = networkError(request, request.url, error);
        if (!mayPass(again) || request.retry === false || this.#closing.signal.aborted) throw again;
        if (isUnreachable(again) && !host.hasAnswered && number >= UNREACHABLE_TRIES)
          throw again.with({ attempts: number });
        return { again, after: host.pauseLeft(clock.now()) };
      }
    };
    return await withRetry(patience, hooks, once);
  }

  /** One attempt: takes a slot of the host, adds credentials, follows redirects. */
  async #send(request: HttpRequest, attempt: number, bounds: Bounds): Promise<HttpResponse> {
    const { clock } = this.#options;
    const host = this.#host(request.url);
    const { signal } = request;
    const name = request.url.host;
    const why = `${name} asked for fewer requests; continuing`;
    const release = await host.enter(request.traffic ?? "metadata", {
      clock,
      longest: this.retry.milliseconds,
      signal,
      pause: (milliseconds) => this.#pause(milliseconds, { host: name, patience: bounds.patience, why, signal }),
    });
    let isHeld = false;
    const sent = clock.now();
    try {
      const response = await this.#authorized(request, attempt, bounds);
      host.hasAnswered = true;
      host.answered(clock.now() - sent);
      // Ranges are asked for on top of what is needed; a refusal says nothing about the rest.
      if (request.traffic !== "range") this.#learn(host, response);
      if (!request.accept.includes(response.status)) {
        const error = await responseError(request, response);
        // Only the text of such an answer says so.
        if (error.code === "RATE_LIMITED" && response.status === 403) {
          const now = clock.now();
          const asked = parseRetryAfter(response.headers["retry-after"], now) ?? parseReset(response.headers, now);
          host.pushedBack(true, asked ?? UNNAMED_PAUSE, now);
        }
        throw error;
      }
      bounds.patience.move();
      // The slot is kept as long as data is transferred.
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

  async #authorized(request: HttpRequest, attempt: number, bounds: Bounds): Promise<HttpResponse> {
    const { auth, url } = request;
    if (auth === undefined || !this.maySendSecrets(url))
      return await this.#redirected(request, undefined, attempt, bounds);
    const who = { registry: auth.registry, origin: url.origin, scopes: auth.scopes };
    let sent = await auth.authorizer.authorize(who, request.signal);
    for (let isSecond = false; ; isSecond = true) {
      const response = await this.#redirected(request, sent, attempt, bounds);
      // A 401 from another origin is not this registry's challenge.
      if (response.status !== 401 || response.url.origin !== url.origin) return response;
      const header = response.headers["www-authenticate"] ?? [];
      response.body.destroy();
      const refusal = { challenges: Array.isArray(header) ? header : [header], sent, isSecond };
      sent = await auth.authorizer.challenged(who, refusal, request.signal);
    }
  }

  async #redirected(
    request: HttpRequest,
    authorization: string | undefined,
    attempt: number,
    bounds: Bounds,
  ): Promise<HttpResponse> {
    const route = new Route(request);
    for (;;) {
      const { method, url } = route;
      // A secret is sent only to the origin it was made for.
      const secret = url.origin === request.url.origin ? authorization : undefined;
      const response = await this.#exchange(request, { method, url, authorization: secret, attempt }, bounds);
      if (!route.follow(response)) return response;
    }
  }

  async #exchange(request: HttpRequest, step: Step, bounds: Bounds): Promise<HttpResponse> {
    const { clock, trace, timeout = DEFAULT_TIMEOUT } = this.#options;
    const { method, url, authorization, attempt } = step;
    const started = clock.now();
    const tell = (more: Partial<TraceEvent>): void =>
      trace?.({ time: started, method, url: redactUrl(url), attempt, milliseconds: clock.now() - started, ...more });
    const { dispatcher, proxy, forward } = await this.#ways.to(url);
    const headers: Record<string, string> = { ...request.headers, ...forward?.headers, "user-agent": this.#userAgent };
    if (authorization !== undefined) headers["authorization"] = authorization;
    let body: Readable | Uint8Array | null = null;
    if (method !== "GET" && method !== "HEAD" && request.body !== undefined)
      body = typeof request.body === "function" ? await request.body() : inPieces(request.body);
    const stream = body !== null && "destroy" in body ? body : undefined;
    const what = `${request.op} ${request.subject}`;
    const sending = stream && FreedBody.of(stream);
    const exchange = new Exchange({
      watch: this.#watch,
      host: url.host,
      what,
      proxy,
      body: sending ?? stream,
      ...bounds,
    });
    const path = `${url.pathname}${url.search}`;
    // As undici's `compose`, which makes several objects for each request.
    const watched: Pick<Dispatcher, "dispatch"> = {
      dispatch: (options, inner) => dispatcher.dispatch(options, exchange.handler(inner)),
    };
    const signal = request.signal ?? this.#closing.signal;
    try {
      const sent = (
        dispatcher.request as (options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>
      ).call(watched, {
        origin: forward?.origin ?? url.origin,
        path: forward === undefined ? path : `${url.origin}${path}`,
        method,
        headers,
        body: (sending as unknown as Readable | undefined) ?? body,
        // By default undici closes a connection after HEAD, in case a server sends a body all the same.
        reset: false,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        signal,
      });
      const answer = await exchange.head(sent, signal);
      // The reader of the body gets its errors; without a reader they must not count as unhandled.
      answer.body
        .on("error", (cause: Error) => {
          // A reader that wants no more of it is no failure.
          if (cause.name === "AbortError") return;
          const { message } = networkError(request, url, cause, forward && proxy);
          tell({ during: "body", error: message });
        })
        .once("close", () => exchange.finish());
      if (trace) tell({ status: answer.statusCode, headers: tracedHeaders(answer.headers) });
      if (forward !== undefined && answer.statusCode === 407) {
        answer.body.destroy();
        throw proxyRefusal(request, { proxy: proxy ?? "", status: 407 });
      }
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url, proxy: forward && proxy };
    } catch (cause) {
      stream?.destroy();
      request.signal?.throwIfAborted();
      const error = networkError(request, url, cause, forward && proxy);
      tell({ error: error.message });
      throw error;
    }
  }

  async schemeFor(host: string, signal?: AbortSignal): Promise<"https" | "http"> {
    const known = this.#schemes.get(host);
    if (known) return known;
    if (this.#options.plainHttp) return "http";
    const https = new URL(`https://${host}/v2/`);
    if (!isLoopback(https.hostname)) return "https";
    const probe = this.#probes.run(host, async () => {
      const scheme = await this.#probe(https);
      this.#schemes.set(host, scheme);
      return scheme;
    });
    return await unlessAborted(probe, signal);
  }

  /** As docker does for a registry on the same machine: TLS first, plain http if the server does not support TLS. */
  async #probe(url: URL): Promise<"https" | "http"> {
    const request: HttpRequest = { method: "GET", url, accept: [], op: "reach", subject: url.host };
    try {
      const step = { method: "GET", url, authorization: undefined, attempt: 1 } as const;
      const response = await this.#exchange(request, step, { patience: this.patience() });
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

  async close(): Promise<void> {
    this.#closing.abort(new StaveError("ABORTED", "the connection was closed"));
    await this.#ways.close();
  }
}

/** The limits of one attempt. */
interface Bounds {
  patience: Patience;
  /** Maximum number of milliseconds for the whole response. */
  longest?: number | undefined;
}

/** One exchange of a request, after any redirects. */
interface Step {
  method: HttpRequest["method"];
  url: URL;
  authorization: string | undefined;
  attempt: number;
}

function tooLarge(request: HttpRequest, response: HttpResponse, what: string): StaveError {
  const { op, subject } = request;
  if (saysHtml(response)) return webPageError(request, response.url);
  return new StaveError("TOO_LARGE", `${subject} has ${what}`, { op, subject });
}

/**
 * A large body as a stream: undici would pass it to the socket whole, and no progress would be visible until all of it
 * was sent.
 */
function inPieces(bytes: Uint8Array): Readable | Uint8Array {
  if (bytes.byteLength <= PIECE) return bytes;
  function* pieces() {
    for (let at = 0; at < bytes.byteLength; at += PIECE) yield bytes.subarray(at, at + PIECE);
  }
  return Readable.from(pieces(), { objectMode: false });
}
