// Lists the tags of a repository, page by page (OCI distribution 1.1, "Listing Tags").
import * as z from "zod";
import { isStaveError, StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse, Scope } from "../../http/types.ts";
import { digestOf } from "../../oci/digest.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { isTag } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../target.ts";
import type { Repository } from "./repository.ts";

const pageSchema = z.looseObject({ tags: z.array(z.string().max(1000)).nullish() });

/** The requested page size; a registry may ignore it and send all its tags at once. */
const PAGE_SIZE = 1000;
/** Maximum number of bytes of a whole listing: about 700 000 tags in Spack's format. */
const LISTING_LIMIT = 64 * 1024 * 1024;
/** More pages mean an endless list whose address keeps changing; it suffices for 100 000 tags at 50 per page. */
const MAX_PAGES = 2000;
/** How many pages may be short or repeat earlier content: middle pages may be empty. */
const MAX_REPEATS = 100;
/** A page of fewer bytes is short if another one follows: it has fewer than ten tags in Spack's format. */
const SHORT_PAGE = 512;
/** The longest time for a whole listing, in milliseconds. */
const LONGEST = 3600_000;

/**
 * Every tag in the registry's order. Throws NOT_FOUND if the repository does not exist, and CONTENT_INVALID for an
 * invalid tag, which could lead elsewhere in a URL or a path.
 */
export async function* listTags(repository: Repository, options: OperationOptions = {}): AsyncIterable<string> {
  for await (const tags of tagPages(repository, options)) yield* tags;
}

/** The same, page by page: much cheaper for those that look through all tags. Throws as `listTags`. */
export async function* tagPages(
  repository: Repository,
  options: OperationOptions = {},
): AsyncIterable<readonly string[]> {
  const settings = { what: "tags", limit: LISTING_LIMIT, ...options };
  for await (const page of pages(repository, `tags/list?n=${PAGE_SIZE}`, settings)) {
    const tags = parseBySchema(page.bytes, pageSchema, `tag list of ${repository.name}`).tags ?? [];
    const invalid = tags.find((tag) => !isTag(tag));
    if (invalid !== undefined) throw notATag(repository, invalid);
    yield tags;
  }
}

function notATag(repository: Repository, text: string): StaveError {
  const tag = printable(text, { most: 160 });
  return new StaveError("CONTENT_INVALID", `${repository.name} lists an invalid tag: "${tag}"`, {
    op: "list tags",
    subject: repository.name,
  });
}

/**
 * Follows `Link: <…>; rel="next"` from a first address, holding one page at a time; `limit` bounds the bytes of all
 * pages together. A repeated address or too many repeated pages are an error, not an endless loop.
 */
export async function* pages(
  repository: Repository,
  first: string,
  options: OperationOptions & {
    what: string;
    limit: number;
    headers?: Record<string, string>;
    accept?: readonly number[];
    scopes?: readonly Scope[];
  },
): AsyncIterable<HttpResponse & { bytes: Buffer }> {
  const { what, limit, headers, scopes, signal, accept = [200] } = options;
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
      .send(
        {
          method: "GET",
          url,
          headers,
          access: "pull",
          accept,
          op: "list",
          subject: what,
          signal,
          ...(scopes && { scopes }),
        },
        left,
      )
      .catch((error: unknown) => {
        throw isStaveError(error, "TOO_LARGE") ? tooMany(repository, op, limit) : error;
      });
    left -= response.bytes.byteLength;
    // Middle pages may be empty if a registry hides tags the user may not see.
    const content = digestOf(response.bytes);
    if ((response.bytes.byteLength < SHORT_PAGE || contents.has(content)) && ++repeats > MAX_REPEATS)
      throw loopError(repository, op, `has more than ${MAX_REPEATS} pages with almost nothing new`);
    contents.add(content);
    yield response;
    const link = headerOf(response, "link");
    const next: string | undefined = link === undefined ? undefined : parseNextLink(link);
    if (next === undefined) return;
    const target: URL = await repository.followed(next, response.url, op);
    if (target.origin !== (await repository.base()).origin)
      throw loopError(repository, op, `leads to ${target.origin}`);
    if (addresses.has(target.href)) throw loopError(repository, op, "links back to a page that was already read");
    if (addresses.size >= MAX_PAGES) throw loopError(repository, op, `has more than ${MAX_PAGES} pages`);
    if (clock.now() - started > LONGEST)
      throw loopError(repository, op, `is still incomplete after ${LONGEST / 60_000} min`);
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

/**
 * The target of the first link whose `rel` is exactly `next` (RFC 8288, as Spack reads it); undefined if there is none.
 */
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
