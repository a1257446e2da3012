// Choosing one image out of an index, for everything that wants a single platform.
import { StaveError } from "../errors.ts";
import { type ManifestDocument, parseManifest } from "../oci/manifest.ts";
import { formatPlatform, matchesPlatform, type Platform } from "../oci/platform.ts";
import type { FetchedManifest, ManifestFetcher, OperationOptions } from "./target.ts";

/** Parses a fetched manifest; `where` names the target for messages. Throws CONTENT_INVALID, MEDIA_TYPE. */
export function parseFetched({ bytes, descriptor }: FetchedManifest, where: string): ManifestDocument {
  return parseManifest(bytes, descriptor.mediaType, `manifest ${descriptor.digest} of ${where}`);
}

/**
 * Fetches a manifest by tag or digest; when it is an index and a platform is wanted, the image of that platform.
 * Throws PLATFORM_MISMATCH, naming what the index has.
 */
export async function fetchPlatform(
  target: ManifestFetcher & { readonly name: string },
  reference: string,
  platform: Platform | undefined,
  options: OperationOptions = {},
): Promise<FetchedManifest> {
  const fetched = await target.fetchManifest(reference, options);
  if (platform === undefined) return fetched;
  const document = parseFetched(fetched, target.name);
  if (document.kind === "manifest") return fetched;
  const entries = document.value.manifests;
  const child = entries.find((entry) => entry.platform && matchesPlatform(entry.platform, platform));
  if (child) return await target.fetchManifest(child.digest, options);
  const offered = new Set(entries.map((entry) => (entry.platform ? formatPlatform(entry.platform) : "(none)")));
  const list = [...offered].slice(0, 20).join(", ") || "none";
  const subject = `${target.name} ${reference}`;
  throw new StaveError("PLATFORM_MISMATCH", `${subject} has no image for ${formatPlatform(platform)}; it has ${list}`, {
    subject,
    hint: "choose one of them with --platform",
  });
}
