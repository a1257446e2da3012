// Reads and deletes blobs, and lists tags and referrers (OCI distribution 1.1).
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { canonicalBytes, emptyIndex } from "../oci/manifest.ts";
import { OCI_INDEX } from "../oci/mediatype.ts";
import { SMALL_BLOB } from "../target/layout/layout-blobs.ts";
import { answer, type Headers } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { Refusal } from "./refusal.ts";

// A blob with a given digest never changes, so a client may cache it forever.
const IMMUTABLE = { "cache-control": "max-age=31536000, immutable" };

/** GET, HEAD and DELETE of `/blobs/DIGEST`. */
export async function handleBlob(exchange: Exchange, text: string): Promise<void> {
  const { layout, request, response } = exchange;
  const digest = parseDigest(text);
  const size = layout.blobs.size(digest);
  if (size === undefined) throw new Refusal("BLOB_UNKNOWN", `there is no blob ${digest}`);
  const headers: Headers = {
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    ...IMMUTABLE,
  };
  switch (request.method) {
    case "DELETE":
      await layout.deleteBlob(digest);
      return answer(response, 202);
    case "HEAD":
      return answer(response, 200, { ...headers, "content-length": size });
    case "GET": {
      if (isUnchanged(request, digest)) return answer(response, 304, headers);
      const range = parseRange(request.headers.range, size);
      const { start, end } = range ?? { start: 0, end: size };
      const status = range ? 206 : 200;
      const full = {
        ...headers,
        "content-length": end - start,
        ...(range ? { "content-range": `bytes ${start}-${end - 1}/${size}` } : {}),
      };
      if (size <= SMALL_BLOB) {
        const bytes = layout.blobs.readNow(digest, SMALL_BLOB);
        if (bytes.byteLength !== size) throw new StaveError("FILE_SYSTEM", `blob ${digest} changed while it was read`);
        return answer(response, status, full, bytes.subarray(start, end));
      }
      const file = layout.blobs.open(digest, start, end);
      try {
        response.writeHead(status, full);
        await pipeline(file, response);
      } finally {
        // For a client that has already left, `pipeline` leaves the file open.
        file.destroy();
      }
      return;
    }
    default:
      throw new Refusal("UNSUPPORTED", `${request.method} is not for blobs`);
  }
}

function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Refusal("DIGEST_INVALID", `invalid digest ${JSON.stringify(text.slice(0, 160))}`);
}

/** True if the client already has the content it asks for (RFC 9110, 13.1.2). */
export function isUnchanged(request: IncomingMessage, digest: Digest): boolean {
  const asked = request.headers["if-none-match"];
  return asked?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === `"${digest}"`) ?? false;
}

/** One byte range (RFC 9110, 14.1.2); for several ranges or a malformed one the whole blob is sent. */
function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const found = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(header?.trim() ?? "");
  if (!found || (found[1] === "" && found[2] === "")) return undefined;
  const start = found[1] === "" ? Math.max(0, size - Number(found[2])) : Number(found[1]);
  const end = found[1] === "" || found[2] === "" ? size : Math.min(size, Number(found[2]) + 1);
  if (start >= size || end <= start)
    throw new Refusal("RANGE_INVALID", `the blob has ${size} bytes`, {
      headers: { "content-range": `bytes */${size}` },
    });
  return { start, end };
}

const MAX_PAGE = 10_000;

/** GET `/tags/list`, paged by `n` and `last`. */
export async function handleTags({ name, layout, request, response, query }: Exchange): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new Refusal("UNSUPPORTED", `${request.method} is not for tag lists`);
  // A long list is requested page by page, so its sorted form is cached.
  const all = (await layout.index.read()).sortedTags();
  page(response, query, all, `/v2/${name}/tags/list`, (tags) => ({ name, tags }));
}

/** Responds with the part of a sorted list that `n` and `last` select, and a Link to the rest. */
export function page(
  response: ServerResponse,
  query: URLSearchParams,
  all: readonly string[],
  path: string,
  document: (part: string[]) => unknown,
): void {
  const asked = query.get("n");
  if (asked !== null && !/^[0-9]{1,9}$/.test(asked))
    throw new Refusal("UNSUPPORTED", "n is not a number", { status: 400 });
  const size = asked === null ? Number.POSITIVE_INFINITY : Math.min(MAX_PAGE, Number(asked));
  const last = query.get("last");
  const from = last === null ? 0 : firstAfter(all, last);
  const part = all.slice(from, from + size);
  const more = size > 0 && from + part.length < all.length;
  const next = `<${path}?n=${size}&last=${encodeURIComponent(part.at(-1) ?? "")}>; rel="next"`;
  answer(
    response,
    200,
    { "content-type": "application/json", ...(more ? { link: next } : {}) },
    JSON.stringify(document(part)),
  );
}

function firstAfter(sorted: readonly string[], last: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") <= last) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** GET `/referrers/DIGEST`, filtered by `artifactType`. */
export async function handleReferrers({ layout, request, response, query }: Exchange, text: string): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new Refusal("UNSUPPORTED", `${request.method} is not for referrers`);
  const artifactType = query.get("artifactType") ?? undefined;
  answerReferrers(response, await layout.referrers(parseDigest(text), { artifactType }), query);
}

/** The index of referrers, already filtered by the query's `artifactType`. */
export function answerReferrers(response: ServerResponse, manifests: Descriptor[], query: URLSearchParams): void {
  const headers = {
    "content-type": OCI_INDEX,
    ...(query.has("artifactType") ? { "oci-filters-applied": "artifactType" } : {}),
  };
  answer(response, 200, headers, canonicalBytes({ ...emptyIndex(), manifests }));
}
