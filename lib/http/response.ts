// Turns error responses and broken connections into StaveErrors: by status, with the registry's own error list, and
// with readable causes.
import * as z from "zod";
import { deepCode, type ErrorCode, messageOf, type RegistryErrorEntry, StaveError } from "../errors.ts";
import { jsonExcess } from "../oci/json-limits.ts";
import { jsonText, printable } from "../printable/printable.ts";
import { redact, redactQueries } from "../printable/secret.ts";
import { readAll } from "../util/stream.ts";
import { ProxyFailure } from "./tunnel.ts";
import type { HttpRequest, HttpResponse } from "./types.ts";

/** Maximum number of bytes of an error body that are read. */
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
  return redact(`${url.origin}${url.pathname}${query === "" ? "" : `?${query}`}`);
}

/** One value of a header. */
export function headerOf(response: Pick<HttpResponse, "headers">, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const BY_STATUS: Record<number, { code: ErrorCode; says: string; hint?: string }> = {
  400: { code: "REGISTRY_ERROR", says: "considers the request malformed" },
  401: { code: "CREDENTIALS_REJECTED", says: "did not accept the credentials" },
  403: { code: "DENIED", says: "refused access", hint: "check that this account may do that there" },
  404: { code: "NOT_FOUND", says: "does not have it" },
  405: { code: "UNSUPPORTED", says: "cannot do that" },
  408: { code: "TIMEOUT", says: "timed out waiting for the request" },
  409: { code: "CONFLICT", says: "has conflicting content there" },
  412: { code: "CONFLICT", says: "has different content there by now" },
  413: { code: "TOO_LARGE", says: "considers it too large" },
  416: { code: "REGISTRY_ERROR", says: "does not have that range of it" },
  429: {
    code: "RATE_LIMITED",
    says: "received too many requests",
    hint: "wait a while, or log in: users who are logged in often have a higher limit",
  },
  501: { code: "UNSUPPORTED", says: "cannot do that" },
};

/** The error for an unexpected response. Reads a bounded part of its body. */
export async function responseError(request: HttpRequest, response: HttpResponse): Promise<StaveError> {
  const { status, url, proxy } = response;
  const { op, subject } = request;
  const host = proxy === undefined ? url.host : `${url.host} (through the proxy ${proxy})`;
  const text = await errorText(response);
  const registry = parseErrors(text);
  // GitHub's registry answers so to many small requests (seen 2026-08), and its API to too many in an hour.
  const isRateLimit = status === 403 && /secondary rate limit|API rate limit exceeded/i.test(text);
  const known = BY_STATUS[isRateLimit ? 429 : status] ??
    (status < 300 ? { code: "REGISTRY_ERROR" as const, says: "gave an unexpected answer" } : undefined) ?? {
      code: "REGISTRY_ERROR" as const,
      says: "failed",
    };
  if (status === 400 && /SSL certificate was sent|The SSL certificate error/i.test(text))
    return clientCertificateError(`cannot ${op} ${subject}: ${url.host} demands a client certificate`, request);
  if (status < 300 && isWebPage(text)) return webPageError(request, url, status);
  const page =
    registry === undefined && isWebPage(text) ? `, with a web page instead of an answer: ${PAGE_SOURCE}` : "";
  return new StaveError(known.code, `cannot ${op} ${subject}: ${host} ${known.says} (${status}${page})`, {
    op,
    subject,
    status,
    ...(registry ? { registry } : {}),
    ...(known.hint ? { hint: known.hint } : {}),
  });
}

const PAGE_SOURCE = "a captive portal or a proxy?";

/** True if text starts like an HTML document. */
export function isWebPage(body: Buffer | string): boolean {
  const start = typeof body === "string" ? body.slice(0, 500) : body.toString("latin1", 0, 500);
  return /^(?:\u00ef\u00bb\u00bf|\ufeff)?\s*(?:<!--[\s\S]*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype html|html|head|body|script|meta)\b/i.test(
    start,
  );
}

/** True if a response is labelled as HTML. Some registries label empty responses so. */
export function saysHtml(response: Pick<HttpResponse, "headers">): boolean {
  return /\bx?html\b/i.test(headerOf(response, "content-type") ?? "");
}

/** The error for a web page in place of a registry's response. */
export function webPageError(request: Pick<HttpRequest, "op" | "subject">, url: URL, status = 200): StaveError {
  const { op, subject } = request;
  return new StaveError(
    "REGISTRY_ERROR",
    `cannot ${op} ${subject}: ${url.host} answers with a web page: ${PAGE_SOURCE} (${status})`,
    {
      op,
      subject,
      status,
      hint: "log in to the network with a browser, or check the host name and the proxy settings",
    },
  );
}

async function errorText(response: HttpResponse): Promise<string> {
  try {
    return (await readAll(response.body, ERROR_BODY_LIMIT, "error body")).toString("utf8");
  } catch {
    // The status is enough; a body that is too long or incomplete adds nothing.
    response.body.destroy();
    return "";
  }
}

function parseErrors(text: string): RegistryErrorEntry[] | undefined {
  let raw: unknown;
  try {
    if (jsonExcess(text) !== undefined) return undefined;
    raw = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = errorListSchema.safeParse(raw);
  if (!parsed.success || parsed.data.errors.length === 0) return undefined;
  return parsed.data.errors.slice(0, MAX_ENTRIES).map(({ code, message, detail }) => ({
    code: printable(code, { most: 100 }),
    ...(message === undefined ? {} : { message: printable(redactQueries(message)) }),
    ...(detail === undefined || JSON.stringify(detail).length > 4000 ? {} : { detail: JSON.parse(jsonText(detail)) }),
  }));
}

const TLS_CODES =
  /^(?:EPROTO|ERR_SSL_.*|ERR_TLS_.*|CERT_.*|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|HOSTNAME_MISMATCH|INVALID_CA|CRL_.*)$/;
const TIMEOUT_CODES = /^(?:UND_ERR_CONNECT_TIMEOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|ETIMEDOUT)$/;

/** The error for a request without a complete response; `proxy` is the proxy that was used, if any. */
export function networkError(
  request: Pick<HttpRequest, "op" | "subject">,
  url: URL,
  cause: unknown,
  proxy?: string,
): StaveError {
  if (cause instanceof StaveError) return cause;
  const { op, subject } = request;
  const code = deepCode(cause);
  const failure = proxyFailureOf(cause) ?? (proxy === undefined ? undefined : new ProxyFailure(proxy, "", { cause }));
  if (failure?.status !== undefined && failure.status > 0) return proxyRefusal(request, { ...failure, cause });
  const place = failure === undefined ? url.host : `the proxy ${failure.proxy}`;
  const what = `cannot ${op} ${subject}: ${place}`;
  if (failure !== undefined && failure.cause === undefined)
    return new StaveError("NETWORK", `${what} ${failure.message}`, { op, subject, cause, hint: PROXY_HINT });
  if (isPlainHttpAnswer(cause))
    return new StaveError("TLS", `${what} does not speak TLS`, {
      op,
      subject,
      cause,
      hint: "if it speaks plain http, write oci+http://HOST/REPO or use `plainHttp`",
    });
  const wanted = clientCertificateProblem(cause);
  if (wanted !== undefined) return clientCertificateError(`${what} ${wanted}`, request, cause);
  if (code !== undefined && TLS_CODES.test(code)) {
    const { problem, hint } = tlsProblem(code, cause);
    return new StaveError("TLS", `${what} ${problem}`, { op, subject, cause, hint });
  }
  if (code !== undefined && TIMEOUT_CODES.test(code))
    return new StaveError("TIMEOUT", `${what} did not answer in time`, {
      op,
      subject,
      cause,
      hint: failure === undefined ? `raise ${timeoutOption(code)}, or check the network` : PROXY_HINT,
    });
  // Some servers that require a client certificate just close the connection.
  const hungUp =
    url.protocol === "https:" && failure === undefined && /other side closed|before secure/.test(messageOf(cause));
  const reason = {
    ECONNREFUSED: "refused the connection",
    ENOTFOUND: "is not a known host",
    EAI_AGAIN: "could not be looked up",
  }[code ?? ""];
  return new StaveError("NETWORK", `${what} ${reason ?? `broke the connection (${messageOf(cause) || code})`}`, {
    op,
    subject,
    cause,
    hint:
      failure !== undefined
        ? PROXY_HINT
        : `check the host name, the network and the proxy settings${
            hungUp ? "; if it demands a client certificate, name yours with `clientCertificate`" : ""
          }`,
  });
}

// No connection is a limit of its own.
const timeoutOption = (code: string): string => (code === "UND_ERR_CONNECT_TIMEOUT" ? "`connectTimeout`" : "`timeout`");

const PROXY_HINT = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; NO_PROXY=HOST bypasses the proxy";

function proxyFailureOf(value: unknown): ProxyFailure | undefined {
  for (let at: unknown = value, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if (at instanceof ProxyFailure) return at;
  return undefined;
}

/** The error for a response by the proxy itself. Only statuses that may pass are retried. */
export function proxyRefusal(
  request: Pick<HttpRequest, "op" | "subject">,
  answer: { proxy: string; status: number | undefined; cause?: unknown },
): StaveError {
  const { op, subject } = request;
  const { proxy, status = 0, cause } = answer;
  const more = { op, subject, ...(cause === undefined ? {} : { cause }) };
  const what = `cannot ${op} ${subject}: the proxy ${proxy}`;
  if (status === 407)
    return new StaveError("CREDENTIALS_REJECTED", `${what} requires a user name and password (407)`, {
      ...more,
      hint: "put them into the proxy's address: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    });
  if (status === 403)
    return new StaveError("DENIED", `${what} does not allow this host (403)`, {
      ...more,
      hint: "ask the proxy's administrator to allow the host, or bypass it: NO_PROXY=HOST",
    });
  if (status >= 500 || status === 408 || status === 429)
    return new StaveError("NETWORK", `${what} could not connect (${status})`, { ...more, hint: PROXY_HINT });
  return new StaveError("REGISTRY_ERROR", `${what} refused the connection (${status})`, { ...more, hint: PROXY_HINT });
}

function clientCertificateError(
  message: string,
  { op, subject }: Pick<HttpRequest, "op" | "subject">,
  cause?: unknown,
): StaveError {
  return new StaveError("TLS", message, {
    op,
    subject,
    ...(cause === undefined ? {} : { cause }),
    hint: "name yours with `clientCertificate`, or put them in certs.d/HOST",
  });
}

/** Why a TLS handshake failed, and a remedy. */
function tlsProblem(code: string, cause: unknown): { problem: string; hint: string } {
  // Node appends advice about its own flags.
  const said = messageOf(cause).replace(/; if the root CA is installed locally.*$/s, "");
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return {
      problem: `has a certificate that ${code === "CERT_HAS_EXPIRED" ? "has expired" : "is not valid yet"}`,
      hint: "check the clock of this machine, else the registry needs a new certificate",
    };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH")
    return {
      problem: `has a certificate for another host (${said})`,
      hint: "use one of the names in the certificate",
    };
  if (code === "EPROTO" || code.startsWith("ERR_SSL_"))
    return { problem: `broke off the TLS handshake (${said})`, hint: "check that the port speaks TLS 1.2 or later" };
  return {
    problem: `has a certificate that is not trusted (${said})`,
    hint: "trust its issuer with `caFiles`; `insecureTls` disables the check",
  };
}

/** A server's TLS alert about the client's certificate, as text. */
function clientCertificateProblem(cause: unknown): string | undefined {
  const text = `${deepCode(cause) ?? ""} ${deepMessage(cause)}`;
  if (/CERTIFICATE_REQUIRED|certificate required/i.test(text)) return "demands a client certificate";
  if (
    /ALERT_(?:BAD|UNSUPPORTED)_CERTIFICATE|ALERT_UNKNOWN_CA|ALERT_ACCESS_DENIED|ALERT_CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN)/i.test(
      text,
    )
  )
    return `does not accept the client certificate (${messageOf(cause)})`;
  if (/ALERT_HANDSHAKE_FAILURE/i.test(text))
    return "broke off the TLS handshake (does it demand a client certificate?)";
  return undefined;
}

/** True if a failed TLS handshake looks like a server without TLS. */
export function isPlainHttpAnswer(cause: unknown): boolean {
  return deepCode(cause) !== undefined && /wrong version number|packet length too long/i.test(deepMessage(cause));
}

function deepMessage(value: unknown): string {
  const texts: string[] = [];
  for (let at: unknown = value, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    texts.push(at.message);
  return texts.join(" ");
}
