// The tag list of a repository, page by page (OCI distribution 1.1, "Listing Tags").
import { z } from "zod";
import { StaveError } from "../errors.ts";
import { headerOf } from "../http/response.ts";
import type { HttpResponse } from "../http/types.ts";
import { parseJson } from "../oci/manifest.ts";
import type { Repository } from "./repository.ts";
import type { OperationOptions } from "./target.ts";

const pageSchema = z.looseObject({ tags: z.array(z.string().max(1000)).nullish() });

/** A page that was asked for has 1 000 tags; a registry that ignores the wish may send all of its tags at once. */
const PAGE_SIZE = 1000;
const PAGE_LIMIT = 64 * 1024 * 1024;
/** More pages than this are a loop that changes its address each time. */
const MAX_PAGES = 100_000;

/** Every tag in the registry's order. Throws NOT_FOUND when there is no such repository. */
export async function* listTags(repository: Repository, options: OperationOptions = {}): AsyncIterable<string> {
  for await (const page of pages(repository, `tags/list?n=${PAGE_SIZE}`, {
    what: "tags",
    limit: PAGE_LIMIT,
    ...options,
  }))
    yield* parseJson(page.bytes, pageSchema, `tag list of ${repository.name}`).tags ?? [];
}

/** Follows `Link: <…>; rel="next"` from a first address. A page seen twice is an error, not a loop without end. */
export async function* pages(
  repository: Repository,
  first: string,
  options: OperationOptions & {
    what: string;
    limit: number;
    headers?: Record<string, string>;
    accept?: readonly number[];
  },
): AsyncIterable<HttpResponse & { bytes: Buffer }> {
  const { what, limit, headers, signal, accept = [200] } = options;
  const seen = new Set<string>();
  let url: string | URL | undefined = first;
  while (url !== undefined) {
    const response: HttpResponse & { bytes: Buffer } = await repository.send(
      { method: "GET", url, headers, access: "pull", accept, op: "list", subject: what, signal },
      limit,
    );
    yield response;
    const link = headerOf(response, "link");
    const next: string | undefined = link === undefined ? undefined : parseNextLink(link);
    if (next === undefined) return;
    const target: URL = await repository.followed(next, response.url, `list ${what}`);
    if (target.origin !== (await repository.base()).origin)
      throw loopError(repository, `list ${what}`, `leads to ${target.origin}`);
    if (seen.has(target.href) || seen.size >= MAX_PAGES)
      throw loopError(repository, `list ${what}`, "leads to a page again that was read before");
    seen.add(target.href);
    url = target;
  }
}

function loopError(repository: Repository, op: string, what: string): StaveError {
  return new StaveError("REGISTRY_ERROR", `cannot ${op} of ${repository.name}: its list ${what}`, {
    op,
    subject: repository.name,
  });
}

const LINK_LIMIT = 8192;

/** The target of the first link whose `rel` is exactly `next` (RFC 8288, as Spack reads it), undefined without one. */
export function parseNextLink(header: string): string | undefined {
  if (header.length > LINK_LIMIT) return undefined;
  let at = 0;
  const skip = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(header)?.[0] ?? "";
    at += found.length;
    return found;
  };
  for (;;) {
    skip(/[\s,]*/y);
    const target = skip(/<[^>]*>/y);
    if (target === "") return undefined;
    let rel: string | undefined;
    for (;;) {
      if (skip(/\s*;\s*/y) === "") break;
      const name = skip(/[^=;,\s"]+/y).toLowerCase();
      if (skip(/\s*=\s*/y) === "") continue;
      const value = skip(/"(?:[^"\\]|\\.)*"|[^;,\s"]*/y);
      if (name === "rel") rel ??= value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
    }
    if (rel === "next") return target.slice(1, -1);
    skip(/\s*/y);
    if (header[at] !== ",") return undefined;
  }
}
