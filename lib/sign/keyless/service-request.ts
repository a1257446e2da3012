// Requests to the services of a Sigstore deployment: JSON is sent, by the transport of all other requests, so that its
// certificates, proxies and limits apply. The library's own requests know none of these.
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse, Transport } from "../../http/types.ts";
import { printable } from "../../printable/printable.ts";
import { redact } from "../../printable/secret.ts";
import { isObject, parseJsonBytes } from "../../spack/text/json.ts";

/** How to reach the services. */
export interface ServiceOptions {
  readonly transport: Transport;
  readonly signal?: AbortSignal | undefined;
}

/** One request. */
export interface ServiceRequest {
  readonly url: string;
  /** Sent as JSON; without it, the request is a GET. */
  readonly body?: unknown;
  /** For messages: what is asked for. */
  readonly op: string;
  /** Maximum number of bytes of the answer. */
  readonly limit: number;
  /** More statuses that the caller handles. */
  readonly accept?: readonly number[];
}

const GOOD: readonly number[] = [200, 201];
/** The service explains these. */
const REFUSALS = [400, 401, 403];
/** What is sent may be a token, and goes nowhere else. */
const REDIRECTS = [301, 302, 303, 307, 308];

/** Sends a request. Throws CREDENTIALS_REJECTED with the service's reason, and what the transport throws. */
export async function askService(
  { url: address, body, op, limit, accept = [] }: ServiceRequest,
  { transport, signal }: ServiceOptions,
): Promise<HttpResponse & { bytes: Buffer }> {
  const url = new URL(address);
  const subject = url.host;
  const response = await transport.requestBytes(
    {
      ...{ url, op, subject, signal, traffic: "token" },
      ...(body === undefined
        ? { method: "GET", headers: { accept: "application/json" } }
        : {
            method: "POST",
            headers: { "content-type": "application/json", accept: "*/*" },
            body: Buffer.from(JSON.stringify(body)),
          }),
      accept: [...GOOD, ...REFUSALS, ...REDIRECTS, ...accept],
    },
    limit,
  );
  const { status, bytes } = response;
  if (GOOD.includes(status) || accept.includes(status)) return response;
  if (REDIRECTS.includes(status))
    throw new StaveError("REGISTRY_ERROR", `cannot ${op} from ${subject}: it points elsewhere (${status})`, {
      ...{ subject, status, op },
      hint: `name the address itself: ${printable(headerOf(response, "location") ?? "", { most: 200 })}`,
    });
  const reason = reasonOf(bytes);
  throw new StaveError("CREDENTIALS_REJECTED", `${subject} refuses to sign (${status})${reason && `: ${reason}`}`, {
    ...{ subject, status, op },
    hint: "check that its instance accepts tokens of this issuer",
  });
}

// A service might repeat what it was sent, so secrets are removed.
function reasonOf(bytes: Buffer): string {
  try {
    const value = parseJsonBytes(bytes, { name: "the error" });
    const said = isObject(value) ? value["message"] : undefined;
    return typeof said === "string" ? printable(redact(said), { most: 300 }) : "";
  } catch {
    return "";
  }
}
