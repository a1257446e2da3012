// The refusals of the registry, and the status and error code of the specification for each failure.
import { isStaveError, type StaveError, systemCode } from "../errors.ts";

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
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405,
  UNKNOWN: 500,
} as const;

/** An error code of the specification. */
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

/** The refusal for any failure. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
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
  const code = isStaveError(error) ? known[error.code] : undefined;
  if (isStaveError(error) && code !== undefined) return new Refusal(code, error.message);
  // The error is in the server's log; its paths must not reach clients.
  if (isDiskFull(error)) return new Refusal("UNKNOWN", "the registry's disk is full", { status: 507 });
  return new Refusal("UNKNOWN", "the registry failed; its log says why");
}

function isDiskFull(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (["ENOSPC", "EDQUOT"].includes(systemCode(cause) ?? "")) return true;
  return false;
}
