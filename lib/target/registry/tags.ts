// The tag list of a repository, page by page (OCI distribution 1.1, "Listing Tags").
import { z } from "zod";
import { isStaveError, StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse } from "../../http/types.ts";
import { digestOf } from "../../oci/digest.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { isTag } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../target.ts";
import type { Repository } from "./repository.ts";

const pageSchema = z.looseObject({ tags: z.array(z.string().max(1000)).nullish() });

/** A page that was asked for has 1 000 tags; a registry that ignores the wish may send all of its tags at once. */
const PAGE_SIZE = 1000;
/** The most bytes of a whole listing: 700 000 tags as Spack makes them. */
const LISTING_LIMIT = 64 * 1024 * 1024;
/** More pages than this are a loop that changes its address each time; 100 000 tags where a page has no more than 50. */
const MAX_PAGES = 2000;
/** So many pages may be short or have the content of an earlier one: those in the middle may be empty. */
const MAX_REPEATS = 100;
/** A page of fewer bytes is short when another one follows: it has less than ten tags as Spack makes them. */
const SHORT_PAGE = 512;
/** The most milliseconds for a whole listing. */
const LONGEST = 3600_000;

/**
 * Every tag in the registry's order. Throws NOT_FOUND when there is no such repository, and CONTENT_INVALID for a name that is
 * no tag: it would lead to another place in a URL or a path.
 */
export async function* listTags(repository: Repository, options: OperationOptions = {}): AsyncIterable<string> {
  for await (const page of pages(repository, `tags/list?n=${PAGE_SIZE}`, {
    what: "tags",
    limit: LISTING_LIMIT,
    ...options,
  }))
    for (const tag of parseBySchema(page.bytes, pageSchema, `tag list of ${repository.name}`).tags ?? []) {
      if (!isTag(tag)) throw notATag(repository, tag);
      yield tag;
    }
}

function notATag(repository: Repository, text: string): StaveError {
  const tag = printable(text, { most: 160 });
  return new StaveError("CONTENT_INVALID", `${repository.name} lists a tag that cannot be one: "${tag}"`, {
    op: "list tags",
    subject: repository.name,
  });
}

/**
 * Follows `Link: <…>; rel="next"` from a first address, holding one page at a time; `limit` is for the bytes of all pages. A page
 * that comes again, by its address or its content, is an error, not a loop without end.
 */
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
  const { clock } = repository.options;
  const started = clock.now();
  const op = `list ${what}`;
  const addresses = new Set<string>();
  const contents = new Set<string>();
  let repeats = 0;
  let left = limit;
  let url: string | URL | undefined = first;
  while (url !== undefined) {
    if (left <= 0) throw tooMany(repository, op, limit);
    const response: HttpResponse & { bytes: Buffer } = await repository
      .send({ method: "GET", url, headers, access: "pull", accept, op: "list", subject: what, signal }, left)
      .catch((error: unknown) => {
        throw isStaveError(error, "TOO_LARGE") ? tooMany(repository, op, limit) : error;
      });
    left -= response.bytes.byteLength;
    // Pages in the middle may be empty, where a registry leaves out what may not be seen.
    const content = digestOf(response.bytes);
    if ((response.bytes.byteLength < SHORT_PAGE || contents.has(content)) && ++repeats > MAX_REPEATS)
      throw loopError(repository, op, `has more than ${MAX_REPEATS} pages with next to nothing new`);
    contents.add(content);
    yield response;
    const link = headerOf(response, "link");
    const next: string | undefined = link === undefined ? undefined : parseNextLink(link);
    if (next === undefined) return;
    const target: URL = await repository.followed(next, response.url, op);
    if (target.origin !== (await repository.base()).origin)
      throw loopError(repository, op, `leads to ${target.origin}`);
    if (addresses.has(target.href)) throw loopError(repository, op, "leads to a page again that was read before");
    if (addresses.size >= MAX_PAGES) throw loopError(repository, op, `has more than ${MAX_PAGES} pages`);
    if (clock.now() - started > LONGEST)
      throw loopError(repository, op, `is not at its end after ${LONGEST / 60_000} min`);
    addresses.add(target.href);
    url = target;
  }
}

function tooMany(repository: Repository, op: string, limit: number): StaveError {
  const { name } = repository;
  return new StaveError("TOO_LARGE", `cannot ${op} of ${name}: its list has more than ${limit} bytes`, {
    op,
    subject: name,
  });
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
