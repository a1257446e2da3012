// Handles manifests and their tags: get, put, delete (OCI distribution 1.1, "Pulling manifests", "Pushing Manifests").
import { isStaveError } from "../errors.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../oci/digest.ts";
import { type ManifestDocument, parseManifest } from "../oci/manifest.ts";
import { bareMediaType, isForeignLayer, isIndexType, isManifestType } from "../oci/mediatype.ts";
import { isTag } from "../oci/reference.ts";
import type { LayoutTarget } from "../target/layout/layout.ts";
import { CONDITIONS_HEADER, MANIFEST_LIMIT, type TagCondition } from "../target/target.ts";
import { answer } from "./answer.ts";
import { readBody } from "./body.ts";
import { isUnchanged } from "./content.ts";
import type { Exchange, ManifestExchange } from "./exchange.ts";
import { Refusal } from "./refusal.ts";

/** Maximum number of tags that one request may assign to a manifest. */
const MAX_TAGS = 100;

/** Which manifests are accepted, and how they are received. */
export interface ManifestRules {
  /** Accept manifests with missing layers or images. */
  readonly sparse: boolean;
  /** How long a client may send nothing, in milliseconds. */
  readonly patience: number;
}

/** GET, HEAD and DELETE of `/manifests/REFERENCE`. */
export async function handleManifest(exchange: Exchange, reference: string): Promise<void> {
  const { layout, request, response } = exchange;
  // An invalid reference cannot exist, so it is simply not found.
  if (!isDigest(reference) && !isTag(reference)) throw unknownManifest(reference.slice(0, 160));
  switch (request.method) {
    case "GET":
    case "HEAD":
      return await getManifest(exchange, reference);
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
  const changed = layout.blobs.changed(digest);
  const headers = {
    "content-type": mediaType,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    // `prune` keeps recently pushed images, so it needs this time.
    ...(changed === undefined ? {} : { "last-modified": new Date(changed).toUTCString() }),
    [CONDITIONS_HEADER]: "if-match",
  };
  if (isUnchanged(request, digest)) return answer(response, 304, headers);
  return answer(response, 200, { ...headers, "content-length": size }, request.method === "HEAD" ? "" : bytes);
}

/** PUT of `/manifests/REFERENCE`: a tag, or a digest with any number of `tag` parameters. */
export async function putManifest(exchange: ManifestExchange, reference: string, rules: ManifestRules): Promise<void> {
  const { name, request, response } = exchange;
  const { given, tags } = parseWanted(reference, exchange.query);
  const mediaType = bareMediaType(request.headers["content-type"] ?? "");
  const bytes = await readBody(request, MANIFEST_LIMIT, rules.patience);
  if (!isManifestType(mediaType) && !isIndexType(mediaType))
    throw new Refusal(
      "MANIFEST_INVALID",
      `the media type ${JSON.stringify(mediaType.slice(0, 100))} is not that of an OCI or Docker v2 manifest or index`,
    );
  const document = parseManifest(bytes, mediaType, "the manifest");
  const digest = digestOf(bytes, given && algorithmOf(given));
  if (given !== undefined && digest !== given)
    throw new Refusal("DIGEST_INVALID", `the manifest has digest ${digest}, not ${given}`);
  if (!rules.sparse) await checkChildren(exchange.layout, document);
  const condition = await conditionOf(exchange, reference);
  const layout = exchange.layout ?? (await exchange.create());
  const [tag, ...others] = tags;
  await layout.pushManifest(bytes, mediaType, { tag, condition, digest });
  // Concurrent changes share one write.
  await Promise.all(others.map((other) => layout.pushManifest(bytes, mediaType, { tag: other, digest })));
  answer(response, 201, {
    location: `/v2/${name}/manifests/${digest}`,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    ...(exchange.query.has("tag") ? { "oci-tag": tags.join(", ") } : {}),
    ...(document.value.subject ? { "oci-subject": document.value.subject.digest } : {}),
  });
}

/** The digest that a put claims for its manifest, if any, and the tags to assign. */
function parseWanted(reference: string, query: URLSearchParams): { given: Digest | undefined; tags: string[] } {
  const invalid = (text: string) =>
    new Refusal(
      text.includes(":") ? "DIGEST_INVALID" : "TAG_INVALID",
      `invalid reference ${JSON.stringify(text.slice(0, 160))}`,
    );
  const wanted = query.getAll("tag");
  const tags = [...new Set(isDigest(reference) ? wanted : [reference, ...wanted])];
  for (const tag of tags) if (!isTag(tag)) throw invalid(tag);
  if (tags.length > MAX_TAGS)
    throw new Refusal("UNSUPPORTED", `more than ${MAX_TAGS} tags in one request`, { status: 414 });
  const asked = query.get("digest");
  if (asked !== null && !isDigest(asked)) throw new Refusal("DIGEST_INVALID", "the query has no valid digest");
  if (isDigest(reference) && asked !== null && asked !== reference)
    throw new Refusal("DIGEST_INVALID", `the path has ${reference}, the query ${asked}`);
  return { given: isDigest(reference) ? reference : (asked ?? undefined), tags };
}

/** Everything that a manifest names must exist, except layers with their own URLs; a subject may be pushed later. */
async function checkChildren(layout: LayoutTarget | undefined, document: ManifestDocument): Promise<void> {
  const children =
    document.kind === "index" ? document.value.manifests : [document.value.config, ...document.value.layers];
  const missing: Digest[] = [];
  for (const child of children) {
    if (isForeignLayer(child.mediaType) && child.urls?.length) continue;
    if (layout?.blobs.size(child.digest) === undefined) missing.push(child.digest);
  }
  if (missing.length > 0)
    throw new Refusal(
      "MANIFEST_BLOB_UNKNOWN",
      `the manifest names ${missing.length} missing blobs or manifests, the first is ${missing[0]}`,
    );
}

/** `If-Match` and `If-None-Match` of a put (RFC 9110, 13.1), as a condition that is checked again under the lock. */
async function conditionOf(
  { layout, request }: ManifestExchange,
  reference: string,
): Promise<TagCondition | undefined> {
  if (request.headers["if-none-match"]?.trim() === "*") return { absent: true };
  const wanted = request.headers["if-match"]?.trim();
  if (wanted === undefined) return undefined;
  const there = await layout?.headManifest(reference);
  const matches = wanted === "*" || wanted.split(",").some((text) => text.trim() === `"${there?.digest}"`);
  if (there === undefined || !matches) throw new Refusal("PRECONDITION_FAILED", `${reference} does not match If-Match`);
  return { digest: there.digest };
}
