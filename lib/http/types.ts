// What the transport takes and gives, and how credentials enter it. Nothing here knows undici.
import type { Readable } from "node:stream";
import type { Patience, RetryBudget, RetryHooks } from "./retry.ts";

/** An access that a request needs (docker distribution, "Token Scope"). */
export interface Scope {
  repository: string;
  actions: readonly ("pull" | "push" | "delete")[];
}

/** Who is asked for what: the key of every token. */
export interface AuthRequest {
  /** The registry as the user wrote it (`docker.io`), under which credentials are kept. */
  registry: string;
  /** `scheme://host:port` of the request; a secret never goes to another one. */
  origin: string;
  scopes: readonly Scope[];
}

/** A 401: what it asks for, what had been sent, and whether it is the second one for the same request. */
export interface Refusal {
  challenges: readonly string[];
  sent: string | undefined;
  isSecond: boolean;
}

/** Puts credentials on requests. The transport asks; it never sees a password. */
export interface Authorizer {
  /** The Authorization header to send eagerly, undefined for none. */
  authorize(request: AuthRequest, signal: AbortSignal | undefined): Promise<string | undefined>;
  /**
   * Told of a 401 with all its WWW-Authenticate headers, and returns the header to try again with. Told a second time
   * for the same request it throws, as when there is nothing to try: CREDENTIALS_MISSING or CREDENTIALS_REJECTED.
   */
  challenged(request: AuthRequest, refusal: Refusal, signal: AbortSignal | undefined): Promise<string>;
}

/** The class of a request: each has its own places, so that small ones never wait for large ones. */
export type Traffic = "metadata" | "upload" | "download" | "token";

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Record<string, string> | undefined;
  /** Bytes, or a function that opens them anew for each try; with a stream, `content-length` must be in the headers. */
  body?: Uint8Array | (() => Promise<Readable> | Readable) | undefined;
  /** The registry and scopes for credentials; undefined sends none and answers no challenge. */
  auth?: { authorizer: Authorizer; registry: string; scopes: readonly Scope[] } | undefined;
  traffic?: Traffic | undefined;
  /** The statuses the caller understands; any other becomes an error. */
  accept: readonly number[];
  /** For messages: `fetch blob`, and the thing. */
  op: string;
  subject: string;
  /** False for what must not be sent twice without a look at its effect first. Default true. */
  retry?: boolean | undefined;
  /** Small, and read whole: its answer has a longest time. Default: so are the classes `metadata` and `token`. */
  isDocument?: boolean | undefined;
  /** The patience of the operation that this is a part of; default one of its own. */
  patience?: Patience | undefined;
  signal?: AbortSignal | undefined;
}

/** An answer; the body must be read or destroyed. Header names are lower case. */
export interface HttpResponse {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Readable;
  /** Where it came from in the end, after redirects. */
  url: URL;
  /** The proxy that was asked for it, if the answer may be the proxy's own: over plain http. */
  proxy?: string | undefined;
}

/** The one way to the network. */
export interface Transport {
  /** Sends a request, again where that may help. Throws StaveError for every status not in `accept`. */
  request(request: HttpRequest): Promise<HttpResponse>;
  /** The same with the body read, of at most `limit` bytes; a truncated body is a failed try. */
  requestBytes(request: HttpRequest, limit: number): Promise<HttpResponse & { bytes: Buffer }>;
  /** How long one thing may be tried again in all, and how often: what a caller with its own loop obeys. */
  readonly retry: RetryBudget;
  /** New patience, for an operation of several requests. */
  patience(): Patience;
  /** What a retry loop around several requests to a host goes by. */
  retryHooks(host: string, signal?: AbortSignal): RetryHooks;
  /** Whether a secret may be sent to this URL: over TLS, to the own machine, or where the user said so. */
  maySendSecrets(url: URL): boolean;
  /** The scheme to use with a host when the user named none. */
  schemeFor(host: string, signal?: AbortSignal): Promise<"https" | "http">;
  close(): Promise<void>;
}

/** One line of a trace; nothing in it is secret. */
export interface TraceEvent {
  time: number;
  method: string;
  /** Without user info and without the values of the query. */
  url: string;
  attempt: number;
  status?: number;
  milliseconds?: number;
  error?: string;
  headers?: Record<string, string>;
}
