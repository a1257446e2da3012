// Selects the response headers that a trace shows: only known ones, without secrets.
import { printable } from "../printable/printable.ts";
import { redactQueries } from "../printable/secret.ts";
import type { HttpResponse } from "./types.ts";

const TRACED_HEADERS =
  /^(?:content-.*|docker-.*|etag|link|location|oci-.*|range|retry-after|ratelimit-.*|www-authenticate|date|server)$/;

/** The headers for a trace, made printable, without query values. */
export function tracedHeaders(headers: HttpResponse["headers"]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !TRACED_HEADERS.test(name)) continue;
    const text = Array.isArray(value) ? value.join(", ") : value;
    out[name] = printable(/^(?:link|location|www-authenticate)$/.test(name) ? redactQueries(text) : text, {
      most: 500,
    });
  }
  return out;
}
