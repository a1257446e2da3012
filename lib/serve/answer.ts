// Requests and answers of the registry: the error document, headers, small bodies.
import type { IncomingMessage, ServerResponse } from "node:http";
import { isStaveError, messageOf, type StaveError } from "../errors.ts";

/** The error codes of the specification (OCI distribution 1.1, "Error Codes"), with their statuses. */
const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PRECONDITION_FAILED: 412,
  RANGE_INVALID: 416,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  TOO_LARGE: 413,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405,
  UNKNOWN: 500,
} as const;

export type AnswerCode = keyof typeof STATUS;

/** A refusal: thrown by a handler, written by the server. */
export class Refusal extends Error {
  readonly code: AnswerCode;
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(code: AnswerCode, message: string, options: { status?: number; headers?: Record<string, string> } = {}) {
    super(message);
    this.code = code;
    this.status = options.status ?? STATUS[code];
    this.headers = options.headers ?? {};
  }
}

/** The refusal that a failure below the handlers amounts to. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (!isStaveError(error)) return new Refusal("UNKNOWN", messageOf(error));
  const known: Partial<Record<StaveError["code"], AnswerCode>> = {
    CONFLICT: "PRECONDITION_FAILED",
    CONTENT_INVALID: "MANIFEST_INVALID",
    MEDIA_TYPE: "MANIFEST_INVALID",
    REFERENCE_INVALID: "DIGEST_INVALID",
    NOT_FOUND: "MANIFEST_UNKNOWN",
    TOO_LARGE: "TOO_LARGE",
    DIGEST_MISMATCH: "DIGEST_INVALID",
    SIZE_MISMATCH: "SIZE_INVALID",
  };
  return new Refusal(known[error.code] ?? "UNKNOWN", error.message);
}

export type Headers = Record<string, string | number>;

/** Answers without a body, or with a small one. */
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
  response.end(hasBody ? bytes : undefined);
}

/** Answers with the error document. */
export function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const document = JSON.stringify({ errors: [{ code: refusal.code, message: refusal.message }] });
  // A body that nobody will read must not keep the connection from its next request, nor be read to its end.
  const isUnread =
    !request.complete &&
    request.headers["content-length"] !== "0" &&
    request.method !== "GET" &&
    request.method !== "HEAD";
  const headers = {
    "content-type": "application/json",
    ...refusal.headers,
    ...(isUnread ? { connection: "close" } : {}),
  };
  answer(response, refusal.status, headers, document);
  if (isUnread) request.resume();
}

/** Reads a body of at most `limit` bytes. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? "0");
  if (announced > limit)
    throw new Refusal("TOO_LARGE", `the body has ${announced} bytes, more than the limit of ${limit}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > limit) throw new Refusal("TOO_LARGE", `the body has more than the limit of ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
