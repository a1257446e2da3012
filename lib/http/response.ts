// From an answer or a broken connection to a StaveError: status, the registry's own error list, causes with names.
import { z } from "zod";
import { type ErrorCode, messageOf, type RegistryErrorEntry, StaveError, systemCode } from "../errors.ts";
import { readAll } from "../util/stream.ts";
import type { HttpRequest, HttpResponse } from "./types.ts";

/** The most bytes of an error's body that are looked at. */
const ERROR_BODY_LIMIT = 64 * 1024;
const MAX_ENTRIES = 20;

// OCI distribution 1.1, "Error Codes".
const errorListSchema = z.looseObject({
  errors: z
    .array(z.looseObject({ code: z.string(), message: z.string().optional(), detail: z.unknown().optional() }))
    .max(1000),
});

/** A URL for messages and traces: no user info, and query values replaced. */
export function redactUrl(url: URL): string {
  const query = [...url.searchParams.keys()].map((key) => `${encodeURIComponent(key)}=…`).join("&");
  return `${url.origin}${url.pathname}${query === "" ? "" : `?${query}`}`;
}

/** One value of a header. */
export function headerOf(response: Pick<HttpResponse, "headers">, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const BY_STATUS: Record<number, { code: ErrorCode; says: string; hint?: string }> = {
  400: { code: "REGISTRY_ERROR", says: "did not understand the request" },
  401: { code: "CREDENTIALS_REJECTED", says: "did not accept the credentials" },
  403: { code: "DENIED", says: "refused access", hint: "check that this account may do that there" },
  404: { code: "NOT_FOUND", says: "does not have it" },
  405: { code: "UNSUPPORTED", says: "cannot do that" },
  408: { code: "TIMEOUT", says: "gave up waiting" },
  409: { code: "CONFLICT", says: "has something else in its place" },
  412: { code: "CONFLICT", says: "has something else in its place by now" },
  413: { code: "TOO_LARGE", says: "finds it too large" },
  416: { code: "REGISTRY_ERROR", says: "does not have that range of it" },
  429: {
    code: "RATE_LIMITED",
    says: "gets too many requests",
    hint: "wait a while, or log in: known users may ask more",
  },
  501: { code: "UNSUPPORTED", says: "cannot do that" },
};

/** The error for an answer the caller has no use for. Reads (a bounded part of) its body. */
export async function responseError(request: HttpRequest, response: HttpResponse): Promise<StaveError> {
  const { status, url } = response;
  const { op, subject } = request;
  const text = await errorText(response);
  const registry = parseErrors(text);
  const known = BY_STATUS[status] ?? { code: "REGISTRY_ERROR" as const, says: "failed" };
  const page =
    registry === undefined && /^\s*<(?:!doctype|html)/i.test(text)
      ? ", with a web page instead of an answer (is a proxy in between?)"
      : "";
  return new StaveError(known.code, `cannot ${op} ${subject}: ${url.host} ${known.says} (${status}${page})`, {
    op,
    subject,
    status,
    ...(registry ? { registry } : {}),
    ...(known.hint ? { hint: known.hint } : {}),
  });
}

async function errorText(response: HttpResponse): Promise<string> {
  try {
    return (await readAll(response.body, ERROR_BODY_LIMIT, "error body")).toString("utf8");
  } catch {
    // The status says enough; a body that is too long or breaks off adds nothing.
    response.body.destroy();
    return "";
  }
}

function parseErrors(text: string): RegistryErrorEntry[] | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = errorListSchema.safeParse(raw);
  if (!parsed.success || parsed.data.errors.length === 0) return undefined;
  return parsed.data.errors.slice(0, MAX_ENTRIES).map(({ code, message, detail }) => ({
    code: printable(code, 100),
    ...(message === undefined ? {} : { message: printable(message, 1000) }),
    ...(detail === undefined || JSON.stringify(detail).length > 4000 ? {} : { detail }),
  }));
}

function printable(text: string, most: number): string {
  return text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, "?").slice(0, most);
}

const TLS_CODES =
  /^(?:EPROTO|ERR_SSL_.*|ERR_TLS_.*|CERT_.*|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|HOSTNAME_MISMATCH|INVALID_CA|CRL_.*)$/;
const TIMEOUT_CODES = /^(?:UND_ERR_CONNECT_TIMEOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|ETIMEDOUT)$/;

/** The error for a request that got no (whole) answer. */
export function networkError(request: Pick<HttpRequest, "op" | "subject">, url: URL, cause: unknown): StaveError {
  if (cause instanceof StaveError) return cause;
  const { op, subject } = request;
  const code = deepCode(cause);
  const what = `cannot ${op} ${subject}: ${url.host}`;
  if (isPlainHttpAnswer(cause))
    return new StaveError("TLS", `${what} does not speak TLS`, {
      op,
      subject,
      cause,
      hint: "if it speaks plain http, write oci+http://HOST/REPO or add --plain-http",
    });
  if (code !== undefined && TLS_CODES.test(code))
    return new StaveError("TLS", `${what} has a certificate that is not trusted (${messageOf(cause)})`, {
      op,
      subject,
      cause,
      hint: "trust its issuer with --cacert FILE; --insecure-tls trusts anybody",
    });
  if (code !== undefined && TIMEOUT_CODES.test(code))
    return new StaveError("TIMEOUT", `${what} did not answer in time`, {
      op,
      subject,
      cause,
      hint: "raise --timeout, or check the network",
    });
  const reason = {
    ECONNREFUSED: "refused the connection",
    ENOTFOUND: "is not a known host",
    EAI_AGAIN: "could not be looked up",
  }[code ?? ""];
  return new StaveError("NETWORK", `${what} ${reason ?? `broke the connection (${messageOf(cause) || code})`}`, {
    op,
    subject,
    cause,
    hint: "check the host name, the network and the proxy settings",
  });
}

/** Tells whether a failed TLS handshake looks like that of a server without TLS. */
export function isPlainHttpAnswer(cause: unknown): boolean {
  return deepCode(cause) !== undefined && /wrong version number|packet length too long/i.test(deepMessage(cause));
}

function deepMessage(value: unknown): string {
  const texts: string[] = [];
  for (let at: unknown = value, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    texts.push(at.message);
  return texts.join(" ");
}

/** The system's code of an error or of what caused it. */
export function deepCode(value: unknown): string | undefined {
  for (let at: unknown = value, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = systemCode(at);
    if (code !== undefined && code !== "UND_ERR_SOCKET") return code;
    if (at instanceof AggregateError && at.errors.length > 0) return deepCode(at.errors[0]);
  }
  return systemCode(value);
}
