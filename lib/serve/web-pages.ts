// Pages for browsers, at /web/: the requests and responses. The caller of the server provides the pages.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ReadTarget } from "../target/target.ts";
import { answer, type Headers } from "./answer.ts";
import { Refusal } from "./refusal.ts";

/** The repositories of the server, for its pages. */
export interface PageRepositories {
  /** The only repository, if the directory is one layout. */
  readonly single: string | undefined;
  /** The names of the repositories with a manifest, sorted. */
  catalog(): Promise<string[]>;
  /** The content of a repository; refuses bad and unknown names. */
  get(name: string, create: false): Promise<ReadTarget>;
}

/** A page, or a document that a page loads. */
export interface WebPage {
  readonly type: "text/html" | "text/css" | "text/javascript" | "application/json" | "image/svg+xml";
  readonly bytes: Uint8Array;
  /** The bytes compressed with gzip; undefined if that is not worth it. */
  readonly packed: Uint8Array | undefined;
  readonly etag: string;
  /** The path says what the content is, so that browsers may keep it. */
  readonly isFixed: boolean;
}

/** The pages of a server. */
export interface WebPages {
  /** The content security policy of all pages. */
  readonly policy: string;
  /** The page at a path below /web/; undefined if there is none, a text for the path to go to instead. */
  page(path: string): Promise<WebPage | string | undefined>;
}

/** The place of the pages. */
export const WEB = "/web/";
const YEAR = 365 * 24 * 3600;

/** Responds to a request for a path below /web/. */
export async function answerPage(
  pages: WebPages,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new Refusal("UNSUPPORTED", `${request.method} is not for this address`);
  const page = await pages.page(path);
  if (page === undefined) throw new Refusal("UNSUPPORTED", "there is no such page", { status: 404 });
  if (typeof page === "string") return answer(response, 301, { location: `${WEB}${page}` });
  const { type, bytes, packed, etag, isFixed } = page;
  const headers: Headers = {
    "content-type": type === "image/svg+xml" ? type : `${type}; charset=utf-8`,
    "content-security-policy": pages.policy,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    // The server may admit only some users.
    "cache-control": isFixed ? `private, max-age=${YEAR}, immutable` : "private, no-cache",
    vary: "accept-encoding",
    etag,
  };
  if (request.headers["if-none-match"] === etag) return answer(response, 304, headers);
  if (packed === undefined || !/\bgzip\b/.test(String(request.headers["accept-encoding"] ?? "")))
    return answer(response, 200, headers, bytes);
  answer(response, 200, { ...headers, "content-encoding": "gzip" }, packed);
}
