// Lists what refers to a manifest: the referrers API, and the tag schema of registries without it (OCI distribution
// 1.1, "Listing Referrers" and "Referrers Tag Schema").
import { isStaveError, StaveError } from "../../errors.ts";
import { backoff } from "../../http/retry.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { canonicalBytes, emptyIndex, indexSchema, parseBySchema, parseManifest } from "../../oci/manifest.ts";
import { OCI_INDEX } from "../../oci/mediatype.ts";
import { referrersTag } from "../../oci/referrer.ts";
import type { OperationOptions, ReferrersOptions } from "../target.ts";
import { fetchManifest, putManifest } from "./manifests.ts";
import type { Repository } from "./repository.ts";
import { pages } from "./tags.ts";

const INDEX_LIMIT = 16 * 1024 * 1024;
/** Maximum number of attempts to update the fallback index while others write to it. */
export const UPDATE_TRIES = 20;

/** The manifests whose subject is `digest`. A registry with neither API nor fallback tag has no referrers. */
export async function listReferrers(
  repository: Repository,
  digest: Digest,
  options: ReferrersOptions = {},
): Promise<Descriptor[]> {
  const { artifactType, signal } = options;
  const query = artifactType === undefined ? "" : `?artifactType=${encodeURIComponent(artifactType)}`;
  const found: Descriptor[] = [];
  const settings = {
    what: "referrers",
    limit: INDEX_LIMIT,
    headers: { accept: OCI_INDEX },
    accept: [200, 400, 404, 405],
    signal,
  };
  for await (const page of pages(repository, `referrers/${digest}${query}`, settings)) {
    if (page.status !== 200)
      return wanted((await readFallback(repository, digest, { signal })).manifests, artifactType);
    for (const entry of parseBySchema(page.bytes, indexSchema, `referrers of ${digest}`).manifests) found.push(entry);
  }
  return wanted(found, artifactType);
}

function wanted(manifests: Descriptor[], artifactType: string | undefined): Descriptor[] {
  return artifactType === undefined ? manifests : manifests.filter((entry) => entry.artifactType === artifactType);
}

/** The list under the fallback tag, and the digest that the tag names now. */
export async function readFallback(
  repository: Repository,
  digest: Digest,
  options: OperationOptions,
): Promise<{ manifests: Descriptor[]; present: Digest | undefined }> {
  try {
    const { bytes, descriptor } = await fetchManifest(repository, referrersTag(digest), {
      ...options,
      limit: INDEX_LIMIT,
    });
    const document = parseManifest(bytes, descriptor.mediaType, `referrers of ${digest}`);
    // The tag may happen to be an ordinary image; then there is no list.
    return { manifests: document.kind === "index" ? document.value.manifests : [], present: descriptor.digest };
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return { manifests: [], present: undefined };
    throw error;
  }
}

/**
 * Lists a new referrer under the fallback tag, for a registry that does not do so itself. If the registry supports
 * conditions, no writer can overwrite another's entry; otherwise the list is read and written again, which leaves a
 * small window for lost updates. Throws CONFLICT if others keep overwriting it.
 */
export async function addFallbackReferrer(
  repository: Repository,
  subject: Digest,
  entry: Descriptor,
  options: OperationOptions = {},
): Promise<void> {
  const { clock } = repository.options;
  for (let tried = 1; tried <= UPDATE_TRIES; tried++) {
    const { manifests, present } = await readFallback(repository, subject, options);
    if (manifests.some((known) => known.digest === entry.digest)) return;
    const bytes = canonicalBytes({ ...emptyIndex(), manifests: [...manifests, entry] });
    if (await putFallback(repository, bytes, referrersTag(subject), present, options)) return;
    await clock.sleep(backoff(Math.min(tried, 4), clock.random()), options.signal);
  }
  throw overwritten(repository, subject);
}

/** The error if others keep overwriting the list of referrers of a manifest. */
export function overwritten(repository: Repository, subject: string): StaveError {
  return new StaveError(
    "CONFLICT",
    `the list of referrers of ${subject} in ${repository.name} keeps being overwritten by others`,
    { subject, hint: "attach to the same image from fewer jobs at once" },
  );
}

/** Writes the list; false if it must be read again to see whether the entry survived. */
async function putFallback(
  repository: Repository,
  bytes: Uint8Array,
  tag: string,
  present: Digest | undefined,
  options: OperationOptions,
): Promise<boolean> {
  const condition = present === undefined ? ({ absent: true } as const) : { digest: present };
  try {
    await putManifest(repository, bytes, OCI_INDEX, { ...options, tag, condition });
    return true;
  } catch (error) {
    if (isStaveError(error, "CONFLICT")) return false;
    if (!isStaveError(error, "UNSUPPORTED")) throw error;
  }
  await putManifest(repository, bytes, OCI_INDEX, { ...options, tag });
  return false;
}
