// Reading and deleting blobs, and everything about manifests, tags and referrers (OCI distribution 1.1).
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { isStaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { canonicalBytes, emptyIndex, parseManifest } from "../oci/manifest.ts";
import { bareMediaType, isForeignLayer, isIndexType, isManifestType, OCI_INDEX } from "../oci/mediatype.ts";
import { isTag } from "../oci/reference.ts";
import type { LayoutTarget } from "../target/layout.ts";
import { CONDITIONS_HEADER } from "../target/manifests.ts";
import { MANIFEST_LIMIT, type TagCondition } from "../target/target.ts";
import { answer, type Headers, Refusal, readBody } from "./answer.ts";

/** One request to one repository. */
export interface Exchange {
  name: string;
  layout: LayoutTarget;
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
}

// A digest says all there is to say about a blob, so a client may keep it for ever.
const IMMUTABLE = { "cache-control": "max-age=31536000, immutable" };

/** GET, HEAD and DELETE of `/blobs/DIGEST`. */
export async function handleBlob(exchange: Exchange, text: string): Promise<void> {
  const { layout, request, response } = exchange;
  const digest = parseDigest(text);
  const size = await layout.blobs.size(digest);
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
      const file = size === 0 ? undefined : await layout.blobs.open(digest, start, end);
      response.writeHead(range ? 206 : 200, {
        ...headers,
        "content-length": end - start,
        ...(range ? { "content-range": `bytes ${start}-${end - 1}/${size}` } : {}),
      });
      if (file === undefined) response.end();
      else await pipeline(file, response);
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

function isUnchanged(request: IncomingMessage, digest: Digest): boolean {
  const asked = request.headers["if-none-match"];
  return asked?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === `"${digest}"`) ?? false;
}

/** One byte range (RFC 9110, 14.1.2); of several, or of one that is malformed, the whole is sent. */
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

/** GET, HEAD, PUT and DELETE of `/manifests/REFERENCE`. */
export async function handleManifest(exchange: Exchange, reference: string): Promise<void> {
  const { layout, request, response } = exchange;
  if (!isDigest(reference) && !isTag(reference)) {
    // What cannot exist is simply not there for who only asks.
    if (request.method !== "PUT") throw unknownManifest(reference.slice(0, 160));
    const code = reference.includes(":") ? "DIGEST_INVALID" : "TAG_INVALID";
    throw new Refusal(code, `invalid reference ${JSON.stringify(reference.slice(0, 160))}`);
  }
  switch (request.method) {
    case "GET":
    case "HEAD":
      return await getManifest(exchange, reference);
    case "PUT":
      return await putManifest(exchange, reference);
    case "DELETE":
      try {
        await layout.deleteManifest(reference);
      } catch (error) {
        if (isStaveError(error, "NOT_FOUND")) throw unknownManifest(reference);
        throw error;
      }
      return answer(response, 202);
    default:
      throw new Refusal("UNSUPPORTED", `${request.method} is not for manifests`);
  }
}

function unknownManifest(reference: string): Refusal {
  return new Refusal("MANIFEST_UNKNOWN", `there is no manifest ${reference}`);
}

async function getManifest({ layout, request, response }: Exchange, reference: string): Promise<void> {
  const { bytes, descriptor } = await layout.fetchManifest(reference).catch((error: unknown) => {
    if (isStaveError(error, "NOT_FOUND")) throw unknownManifest(reference);
    throw error;
  });
  const { digest, mediaType, size } = descriptor;
  const changed = await layout.blobs.changed(digest);
  const headers = {
    "content-type": mediaType,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    // Whoever prunes wants to know what was pushed lately.
    ...(changed === undefined ? {} : { "last-modified": new Date(changed).toUTCString() }),
    [CONDITIONS_HEADER]: "if-match",
  };
  if (isUnchanged(request, digest)) return answer(response, 304, headers);
  return answer(response, 200, { ...headers, "content-length": size }, request.method === "HEAD" ? "" : bytes);
}

async function putManifest(exchange: Exchange, reference: string): Promise<void> {
  const { name, layout, request, response } = exchange;
  const mediaType = bareMediaType(request.headers["content-type"] ?? "");
  const bytes = await readBody(request, MANIFEST_LIMIT);
  if (!isManifestType(mediaType) && !isIndexType(mediaType))
    throw new Refusal(
      "MANIFEST_INVALID",
      `the media type ${JSON.stringify(mediaType.slice(0, 100))} is not that of an OCI or Docker v2 manifest or index`,
    );
  const document = parseManifest(bytes, mediaType, "the manifest");
  const digest = digestOf(bytes, isDigest(reference) ? algorithmOf(reference) : "sha256");
  if (isDigest(reference) && digest !== reference)
    throw new Refusal("DIGEST_INVALID", `the manifest has digest ${digest}, not ${reference}`);
  await checkChildren(exchange, document);
  const tag = isDigest(reference) ? undefined : reference;
  const condition = await conditionOf(exchange, reference);
  await layout.pushManifest(bytes, mediaType, { tag, condition, digest });
  answer(response, 201, {
    location: `/v2/${name}/manifests/${digest}`,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    ...(document.value.subject ? { "oci-subject": document.value.subject.digest } : {}),
  });
}

/** Everything that a manifest names must be there, but for layers that live elsewhere; a subject may come later. */
async function checkChildren({ layout }: Exchange, document: ReturnType<typeof parseManifest>): Promise<void> {
  const children =
    document.kind === "index" ? document.value.manifests : [document.value.config, ...document.value.layers];
  const missing: Digest[] = [];
  for (const child of children) {
    if (isForeignLayer(child.mediaType) && child.urls?.length) continue;
    if ((await layout.blobs.size(child.digest)) === undefined) missing.push(child.digest);
  }
  if (missing.length > 0)
    throw new Refusal(
      "MANIFEST_BLOB_UNKNOWN",
      `the manifest names ${missing.length} things that are not there, first ${missing[0]}`,
    );
}

/** `If-Match` and `If-None-Match` of a put (RFC 9110, 13.1); of a tag, as a condition that holds under the lock too. */
async function conditionOf({ layout, request }: Exchange, reference: string): Promise<TagCondition | undefined> {
  if (request.headers["if-none-match"]?.trim() === "*") return { absent: true };
  const wanted = request.headers["if-match"]?.trim();
  if (wanted === undefined) return undefined;
  const there = await layout.headManifest(reference);
  const matches = wanted === "*" || wanted.split(",").some((text) => text.trim() === `"${there?.digest}"`);
  if (there === undefined || !matches)
    throw new Refusal("PRECONDITION_FAILED", `${reference} is not what If-Match says`);
  return { digest: there.digest };
}

const MAX_PAGE = 10_000;

/** GET `/tags/list`, paged by `n` and `last`. */
export async function handleTags({ name, layout, request, response, query }: Exchange): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new Refusal("UNSUPPORTED", `${request.method} is not for tag lists`);
  // A long list is asked for page by page: it is sorted once.
  const all = (await layout.index.read()).sortedTags();
  page(response, query, all, `/v2/${name}/tags/list`, (tags) => ({ name, tags }));
}

/** Answers with the part of a sorted list that `n` and `last` ask for, and a Link to the rest. */
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
