// Manifests of a repository: head, get, put (optionally only if the tag has not moved), delete.
import { StaveError } from "../../errors.ts";
import { headerOf } from "../../http/response.ts";
import type { HttpResponse } from "../../http/types.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { algorithmOf, type Digest, digestOf, isDigest } from "../../oci/digest.ts";
import { describe } from "../../oci/manifest.ts";
import { ACCEPT_MANIFEST, bareMediaType, OCI_MANIFEST } from "../../oci/mediatype.ts";
import { imageName, parseTag } from "../../oci/reference.ts";
import { digestMismatch } from "../../util/stream.ts";
import { rereadDamaged } from "../refetch.ts";
import {
  CONDITIONS_HEADER,
  type FetchedManifest,
  type FetchManifestOptions,
  MANIFEST_LIMIT,
  type OperationOptions,
  type PushManifestOptions,
  type TagCondition,
} from "../target.ts";
import { untilBlobsAreSeen } from "./late-blobs.ts";
import type { Repository } from "./repository.ts";
import { isProof, unproved } from "./write-proof.ts";

// A layout may have tags of any text, which could lead elsewhere in a URL.
const path = (reference: string): string => `manifests/${isDigest(reference) ? reference : parseTag(reference)}`;

/** The descriptor of a tag or digest; undefined for 404 only. */
export async function headManifest(
  repository: Repository,
  reference: string,
  options: OperationOptions = {},
): Promise<{ descriptor: Descriptor; etag: string | undefined; obeysConditions: boolean } | undefined> {
  const response = await repository.send({
    method: "HEAD",
    url: path(reference),
    headers: { accept: ACCEPT_MANIFEST },
    access: "pull",
    accept: [200, 404],
    op: "look for manifest",
    subject: reference,
    signal: options.signal,
  });
  if (response.status === 404) return undefined;
  const digest = headerOf(response, "docker-content-digest") ?? (isDigest(reference) ? reference : "");
  const length = headerOf(response, "content-length") ?? "";
  const mediaType = bareMediaType(headerOf(response, "content-type") ?? "");
  const etag = headerOf(response, "etag");
  // Some registries omit these headers on HEAD; then the document is fetched. A web page has a size and a type, too.
  const isManifest = /\+(?:json|prettyjws)$|^application\/json$/.test(mediaType);
  if (!isDigest(digest) || !/^[0-9]{1,15}$/.test(length) || !isManifest) {
    const fetched = await fetchManifest(repository, reference, options).catch(absentIsUndefined);
    return fetched && { descriptor: fetched.descriptor, etag, obeysConditions: fetched.obeysConditions };
  }
  if (isDigest(reference) && digest !== reference)
    throw digestMismatch(`manifest ${reference} of ${repository.name}`, reference, digest);
  const obeysConditions = headerOf(response, CONDITIONS_HEADER) !== undefined;
  return { descriptor: { mediaType, digest, size: Number(length) }, etag, obeysConditions };
}

function absentIsUndefined(error: unknown): undefined {
  if (error instanceof StaveError && error.code === "NOT_FOUND") return undefined;
  throw error;
}

/** A manifest with its exact bytes, verified against the digest requested or named by the registry. */
export async function fetchManifest(
  repository: Repository,
  reference: string,
  options: FetchManifestOptions = {},
): Promise<FetchedManifest> {
  return await rereadDamaged(() => fetchOnce(repository, reference, options));
}

async function fetchOnce(
  repository: Repository,
  reference: string,
  options: FetchManifestOptions,
): Promise<FetchedManifest> {
  const request = {
    method: "GET" as const,
    url: path(reference),
    headers: { accept: ACCEPT_MANIFEST },
    access: "pull" as const,
    accept: [200],
    op: "fetch manifest",
    subject: reference,
    signal: options.signal,
  };
  const response = await repository.send(request, options.limit ?? MANIFEST_LIMIT).catch((error: unknown) => {
    if (error instanceof StaveError && error.code === "NOT_FOUND") throw notFound(error, repository, reference);
    throw error;
  });
  const { bytes } = response;
  const named = headerOf(response, "docker-content-digest");
  const expected = [reference, named].find((text) => text !== undefined && isDigest(text));
  const digest = digestOf(bytes, expected === undefined ? "sha256" : algorithmOf(expected));
  if (expected !== undefined && digest !== expected)
    throw digestMismatch(`manifest ${reference} of ${repository.name}`, expected, digest);
  const mediaType = bareMediaType(headerOf(response, "content-type") ?? "") || OCI_MANIFEST;
  const obeysConditions = headerOf(response, CONDITIONS_HEADER) !== undefined;
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes, obeysConditions, age: ageOf(response) };
}

// Both times are the registry's, so the local clock does not matter.
function ageOf(response: Parameters<typeof headerOf>[0]): number | undefined {
  const [now, then] = ["date", "last-modified"].map((name) => Date.parse(headerOf(response, name) ?? ""));
  const age = (now ?? Number.NaN) - (then ?? Number.NaN);
  return Number.isNaN(age) ? undefined : Math.max(0, age);
}

function notFound(error: StaveError, repository: Repository, reference: string): StaveError {
  return new StaveError("NOT_FOUND", `${repository.name} has no manifest ${reference}`, {
    op: "fetch manifest",
    subject: imageName(repository.name, reference),
    status: 404,
    ...(error.registry ? { registry: error.registry } : {}),
    hint: `list the tags with \`stave tags ${repository.name}\``,
    cause: error,
  });
}

/** Stores a manifest; returns its descriptor and whether the registry processed its subject. */
export async function putManifest(
  repository: Repository,
  bytes: Uint8Array,
  mediaType: string,
  options: PushManifestOptions = {},
): Promise<{ descriptor: Descriptor; tookSubject: boolean }> {
  const { tag, condition, signal } = options;
  const descriptor = describe(bytes, mediaType, options.digest && algorithmOf(options.digest));
  const headers =
    condition === undefined || tag === undefined
      ? {}
      : await conditionHeaders(repository, { bytes, mediaType, tag, condition, signal });
  const reference = tag ?? descriptor.digest;
  const send = (): Promise<HttpResponse> =>
    repository.send({
      method: "PUT",
      url: path(reference),
      headers: { "content-type": mediaType, ...headers },
      body: bytes,
      access: "push",
      accept: [200, 201, 202],
      op: "push manifest",
      subject: reference,
      signal,
    });
  const response = await untilBlobsAreSeen(repository, signal, send);
  if (!isProof(repository, response, descriptor.digest, reference)) {
    const there = await headManifest(repository, reference, { signal });
    if (there?.descriptor.digest !== descriptor.digest)
      throw unproved(repository, "push manifest", reference, response.status);
  }
  return { descriptor, tookSubject: headerOf(response, "oci-subject") !== undefined };
}

/** A manifest to store under a tag, if a condition holds. */
interface ConditionalPut {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly tag: string;
  readonly condition: TagCondition;
  readonly signal: AbortSignal | undefined;
}

/**
 * The headers that make a registry refuse if the tag has moved. Throws CONFLICT if it has already moved, UNSUPPORTED if
 * the registry ignores conditions.
 */
async function conditionHeaders(
  repository: Repository,
  { bytes, mediaType, tag, condition, signal }: ConditionalPut,
): Promise<Record<string, string>> {
  if ("digest" in condition && condition.isObeyed === true) return { "if-match": `"${condition.digest}"` };
  const there = await headManifest(repository, tag, { signal });
  if ("absent" in condition ? there !== undefined : there?.descriptor.digest !== condition.digest)
    throw moved(repository, tag);
  if (there?.obeysConditions !== true && !(await honoursConditions(repository, bytes, mediaType, signal)))
    throw new StaveError(
      "UNSUPPORTED",
      `${repository.name} has no conditional tag updates: the registry ignores If-Match`,
      {
        op: "push manifest",
        subject: tag,
      },
    );
  if (there === undefined) return { "if-none-match": "*" };
  return { "if-match": there.etag ?? `"${there.descriptor.digest}"` };
}

/**
 * Probes whether the registry obeys If-Match: a put by digest with a condition that cannot hold. A registry that obeys
 * answers 412; any other stores content that is addressed by its digest, which does no harm.
 */
async function honoursConditions(
  repository: Repository,
  bytes: Uint8Array,
  mediaType: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const response = await repository.send({
    method: "PUT",
    url: path(digestOf(bytes)),
    headers: { "content-type": mediaType, "if-match": '"no-such-entity"' },
    body: bytes,
    access: "push",
    accept: [200, 201, 202, 412],
    op: "push manifest",
    subject: digestOf(bytes),
    signal,
  });
  return response.status === 412;
}

function moved(repository: Repository, tag: string): StaveError {
  return new StaveError("CONFLICT", `the tag ${tag} of ${repository.name} was moved by another client`, {
    op: "push manifest",
    subject: tag,
    hint: "run the same command again",
  });
}

/** Deletes a tag or, by digest, a manifest. Throws NOT_FOUND, UNSUPPORTED. */
export async function deleteManifest(
  repository: Repository,
  reference: string | Digest,
  options: OperationOptions = {},
): Promise<void> {
  const { status } = await repository.send({
    method: "DELETE",
    url: path(reference),
    access: "delete",
    accept: [200, 202, 204],
    op: "delete manifest",
    subject: reference,
    signal: options.signal,
  });
  // The specification allows only 202, so a 200 is checked.
  if (status === 200 && (await headManifest(repository, reference, options)) !== undefined)
    throw unproved(repository, "delete manifest", reference, status);
}
