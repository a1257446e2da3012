// The interface of the transport, and how credentials enter it. Independent of undici.
import type { Readable } from "node:stream";
import type { Patience, RetryBudget, RetryHooks } from "./retry.ts";

/** An access right that a request needs (docker distribution, "Token Scope"). */
export interface Scope {
  /** Empty for the list of repositories, whose only action is `*`. */
  repository: string;
  actions: readonly ("pull" | "push" | "delete" | "*")[];
}

/** The registry and rights that a token is for: the key of every token. */
export interface AuthRequest {
  /** The registry as the user wrote it (`docker.io`), under which credentials are stored. */
  registry: string;
  /** `scheme://host:port` of the request; a secret is never sent to another origin. */
  origin: string;
  scopes: readonly Scope[];
}

/** A 401: its challenges, the header that was sent, and whether it is the second for the same request. */
export interface Refusal {
  challenges: readonly string[];
  sent: string | undefined;
  isSecond: boolean;
}

/** Adds credentials to requests. The transport calls it, and never sees a password. */
export interface Authorizer {
  /** The Authorization header to send with the first attempt; undefined for none. */
  authorize(request: AuthRequest, signal: AbortSignal | undefined): Promise<string | undefined>;
  /**
   * Called after a 401 with all its WWW-Authenticate headers; returns the header for the next attempt. Throws
   * CREDENTIALS_MISSING or CREDENTIALS_REJECTED if there is nothing to try, or on the second 401 for the same request.
   */
  challenged(request: AuthRequest, refusal: Refusal, signal: AbortSignal | undefined): Promise<string>;
}

/** The class of a request: each has its own slots, so that small requests never wait for large ones. */
export type Traffic = "metadata" | "upload" | "download" | "range" | "token";

/** One request. */
export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Record<string, string> | undefined;
  /** Bytes, or a function that opens them anew for each attempt; a stream needs a `content-length` header. */
  body?: Uint8Array | (() => Promise<Readable> | Readable) | undefined;
  /** The registry and scopes for credentials; without it no credentials are sent and no challenge is answered. */
  auth?: { authorizer: Authorizer; registry: string; scopes: readonly Scope[] } | undefined;
  traffic?: Traffic | undefined;
  /** The statuses the caller handles; any other becomes an error. */
  accept: readonly number[];
  /** The operation and its object, for messages: `fetch blob`, and its digest. */
  op: string;
  subject: string;
  /** False if a repeated request could do harm, so that the caller must check its effect first. Default true. */
  retry?: boolean | undefined;
  /** Small and read whole, so that a time limit applies. Default: true for `metadata` and `token`. */
  isDocument?: boolean | undefined;
  /** The patience of the operation that this request belongs to; default: its own. */
  patience?: Patience | undefined;
  signal?: AbortSignal | undefined;
}

/** A response; its body must be read or destroyed. Header names are in lower case. */
export interface HttpResponse {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Readable;
  /** The final URL, after redirects. */
  url: URL;
  /** The proxy that was asked for it, if the answer may be the proxy's own: over plain http. */
  proxy?: string | undefined;
}

/** The one way to the network. */
export interface Transport {
  /** Sends a request, with retries. Throws a StaveError for every status not in `accept`. */
  request(request: HttpRequest): Promise<HttpResponse>;
  /** As `request`, and reads the body, of at most `limit` bytes; a truncated body is retried. */
  requestBytes(request: HttpRequest, limit: number): Promise<HttpResponse & { bytes: Buffer }>;
  /** The retry budget, for callers with loops of their own. */
  readonly retry: RetryBudget;
  /** Fresh patience, for an operation of several requests. */
  patience(): Patience;
  /** The hooks for a retry loop around several requests to a host. */
  retryHooks(host: string, signal?: AbortSignal): RetryHooks;
  /** True if a secret may be sent to this URL: over TLS, to this machine, or if the user allowed plain http. */
  maySendSecrets(url: URL): boolean;
  /** True if an answer is the URL's own: over checked TLS, from this machine, or by plain http the user allowed. */
  isAuthentic(url: URL): boolean;
  /** The scheme for a host that the user named without one. */
  schemeFor(host: string, signal?: AbortSignal): Promise<"https" | "http">;
  /** Closes all connections; requests in progress fail. */
  close(): Promise<void>;
}

/** One event of a trace; contains no secrets. */
export interface TraceEvent {
  time: number;
  method: string;
  /** Without user info and query values. */
  url: string;
  attempt: number;
  status?: number;
  milliseconds?: number;
  error?: string;
  /** The response had begun when it failed: it has an event of its own before. */
  during?: "body";
  headers?: Record<string, string>;
}
