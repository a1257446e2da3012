// Responses of the registry: headers, small bodies, the error document.
import type { ServerResponse } from "node:http";
import { endAfterBody, hasUnreadBody } from "./body.ts";
import type { Refusal } from "./refusal.ts";

/** Response headers by name. */
export type Headers = Record<string, string | number>;

/**
 * Responds without a body, or with a small one. A client that is still sending its own body gets the response all the
 * same.
 */
export function answer(
  response: ServerResponse,
  status: number,
  headers: Headers = {},
  body: Uint8Array | string = "",
): void {
  if (response.destroyed) return;
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const hasBody = status !== 204 && status !== 304;
  response.writeHead(status, {
    ...(hasBody && headers["content-length"] === undefined ? { "content-length": bytes.byteLength } : {}),
    ...headers,
  });
  const isUnread = hasUnreadBody(response.req);
  if (!isUnread) {
    response.end(hasBody ? bytes : undefined);
    return;
  }
  if (hasBody && bytes.byteLength > 0) response.write(bytes);
  else response.flushHeaders();
  endAfterBody(response);
}

/** Responds with the error document. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const document = JSON.stringify({ errors: [{ code: refusal.code, message: refusal.message }] });
  answer(response, refusal.status, { "content-type": "application/json", ...refusal.headers }, document);
}
