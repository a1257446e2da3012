// Protects a registry from pages of other sites in a browser on the same machine or network. A page may send requests
// to any address, also to one of the user's machine; and by DNS rebinding, a name of its own site may become that
// address, so that the browser even shows it the responses.
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { Refusal } from "./refusal.ts";

/** The names by which clients reach a server that only its own machine can reach; undefined: any name. */
export type LocalNames = ReadonlySet<string> | undefined;

/** Headers of responses that are no pages: what a registry stores never runs as a page of its address. */
export const NO_PAGE_HEADERS = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "sandbox; default-src 'none'",
} as const;

/** True if only the machine itself can connect to an address on which a server listens. */
export function isLocalAddress(address: string): boolean {
  return address === "::1" || /^(?:::ffff:)?127\./.test(address);
}

/** A host name as in a `Host` header, without port and brackets. */
export function bareName(host: string): string {
  return host
    .replace(/:[0-9]*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
}

/** Throws DENIED for a name that is not the server's, and for a write that another site has a browser send. */
export function checkBrowser({ method = "", headers }: IncomingMessage, names: LocalNames): void {
  const { host } = headers;
  if (names !== undefined && host !== undefined && !isOwnName(bareName(host), names))
    throw new Refusal("DENIED", `this server does not answer to the name ${JSON.stringify(host.slice(0, 255))}`);
  if (method !== "GET" && method !== "HEAD" && isForeign(headers))
    throw new Refusal("DENIED", "pages of other sites may not change this registry");
}

// No site of others can have these: addresses, and names below `localhost` and `internal`, which are not in the public
// DNS. Containers reach their host as `host.docker.internal` or `host.containers.internal`.
function isOwnName(name: string, names: ReadonlySet<string>): boolean {
  return isIP(name) !== 0 || /(?:^|\.)localhost$|\.internal$/.test(name) || names.has(name);
}

// Browsers omit `Sec-Fetch-Site` in requests to other machines without TLS. If it is there, it counts: behind a proxy,
// `Host` may differ from what the browser has asked for.
function isForeign(headers: IncomingMessage["headers"]): boolean {
  const { origin, host = "" } = headers;
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  return origin !== undefined && URL.parse(origin)?.host !== host.toLowerCase();
}
