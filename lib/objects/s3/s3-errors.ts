// What S3 servers say about requests that they refuse, in XML.
import { XMLParser } from "fast-xml-parser";
import { type ErrorCode, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";

/** The error of a server. */
export interface S3Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** The region that the bucket is in, if that is the problem. */
  readonly region: string | undefined;
}

/** Parses a response of a server; an answer that is no XML has no fields. */
export function parseXml(bytes: Buffer): Record<string, unknown> {
  const text = bytes.toString("utf8");
  // No server sends one, and entities could make a small text large.
  if (text.includes("<!DOCTYPE")) return {};
  try {
    const value: unknown = new XMLParser({ parseTagValue: false, ignoreDeclaration: true }).parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** A text of parsed XML; undefined for anything else. */
export function textAt(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
  return typeof found === "string" ? found : undefined;
}

/** What a refused request was refused for. */
export function failureOf(status: number, bytes: Buffer, region: string | undefined): S3Failure {
  const error = parseXml(bytes)["Error"];
  return {
    status,
    code: textAt(error, "Code") ?? "",
    message: textAt(error, "Message") ?? "",
    region: region ?? textAt(error, "Region"),
  };
}

const LOGIN = "check the credentials: access_pair of the mirror, $AWS_ACCESS_KEY_ID or $GS_ACCESS_KEY_ID, or a profile";
const REGION = "set $AWS_REGION to the region of the bucket, and check endpoint_url of the mirror";
const KNOWN: Readonly<Record<string, readonly [ErrorCode, hint: string | undefined]>> = {
  NoSuchBucket: ["NOT_FOUND", "check the name of the bucket, and endpoint_url of the mirror"],
  AccessDenied: [
    "DENIED",
    "check that these credentials may do that; without the right to list, absent files look refused",
  ],
  AllAccessDisabled: ["DENIED", undefined],
  SignatureDoesNotMatch: ["CREDENTIALS_REJECTED", LOGIN],
  AuthenticationRequired: ["CREDENTIALS_REJECTED", LOGIN],
  InvalidSecurity: ["CREDENTIALS_REJECTED", LOGIN],
  InvalidAccessKeyId: ["CREDENTIALS_REJECTED", LOGIN],
  InvalidToken: ["CREDENTIALS_REJECTED", LOGIN],
  ExpiredToken: ["CREDENTIALS_REJECTED", "the session has expired: get new credentials"],
  RequestTimeTooSkewed: ["CREDENTIALS_REJECTED", "the clock of this machine is wrong: set it"],
  AuthorizationHeaderMalformed: ["REGISTRY_ERROR", REGION],
  IllegalLocationConstraintException: ["REGISTRY_ERROR", REGION],
  PermanentRedirect: ["REGISTRY_ERROR", REGION],
  TemporaryRedirect: ["REGISTRY_ERROR", REGION],
  PreconditionFailed: ["CONFLICT", undefined],
  ConditionalRequestConflict: ["CONFLICT", undefined],
  NotImplemented: ["UNSUPPORTED", undefined],
  EntityTooLarge: ["TOO_LARGE", undefined],
  XAmzContentSHA256Mismatch: ["DIGEST_MISMATCH", "the content was damaged on its way; try again"],
  BadDigest: ["DIGEST_MISMATCH", "the content was damaged on its way; try again"],
};
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: "CREDENTIALS_REJECTED",
  403: "DENIED",
  404: "NOT_FOUND",
  409: "CONFLICT",
  412: "CONFLICT",
  501: "UNSUPPORTED",
};

/** The error for a refused request. */
export function s3Error({ status, code, message }: S3Failure, what: string, host: string): StaveError {
  // A refusal without a body, as of a HEAD request, may be about the region, too.
  const other = status === 301 || status === 400 ? REGION : undefined;
  const [family, hint] = KNOWN[code] ?? [BY_STATUS[status] ?? "REGISTRY_ERROR", code === "" ? other : undefined];
  const said = [code, message].filter((part) => part !== "").join(": ");
  const why = said === "" ? "" : `: ${printable(said, { most: 300 })}`;
  return new StaveError(family, `cannot ${what}: ${host} refused it (${status})${why}`, {
    subject: host,
    status,
    ...(hint === undefined ? {} : { hint }),
  });
}
