// Chooses one image out of an index, for operations that need a single platform.
import { StaveError } from "../errors.ts";
import { type Index, type Manifest, type ManifestDocument, parseBySchema, parseManifest } from "../oci/manifest.ts";
import { DOCKER_CONFIG, OCI_CONFIG } from "../oci/mediatype.ts";
import { formatPlatform, matchesPlatform, type Platform, platformSchema } from "../oci/platform.ts";
import { imageName } from "../oci/reference.ts";
import { printable } from "../printable/printable.ts";
import { fetchConfig } from "./image-config.ts";
import type { BlobFetcher, FetchedManifest, ManifestFetcher, OperationOptions } from "./target.ts";

type Fetcher = ManifestFetcher & BlobFetcher & { readonly name: string };

/** Parses a fetched manifest; `where` names the target in messages. Throws CONTENT_INVALID, MEDIA_TYPE. */
export function parseFetched({ bytes, descriptor }: FetchedManifest, where: string): ManifestDocument {
  return parseManifest(bytes, descriptor.mediaType, `manifest ${descriptor.digest} of ${where}`);
}

/**
 * Fetches a manifest by tag or digest. If a platform is given, fetches the image of that platform: from an index, or a
 * single image whose config names that platform. An artifact has no platform and is returned as is. Throws
 * PLATFORM_MISMATCH, naming what is there.
 */
export async function fetchPlatform(
  target: Fetcher,
  reference: string,
  platform: Platform | undefined,
  options: OperationOptions = {},
): Promise<FetchedManifest> {
  const fetched = await target.fetchManifest(reference, options);
  if (platform === undefined) return fetched;
  const { kind, value } = parseFetched(fetched, target.name);
  const subject = imageName(target.name, reference);
  if (kind === "index") return await target.fetchManifest(entryFor(value, platform, subject).digest, options);
  const found = await platformOf(target, value, options);
  if (found === undefined || matchesPlatform(found, platform)) return fetched;
  const problem = `${subject} is for ${printable(formatPlatform(found))}, expected ${formatPlatform(platform)}`;
  throw new StaveError("PLATFORM_MISMATCH", problem, {
    subject,
    hint: `choose ${printable(formatPlatform(found))} with \`platform\`, or leave out \`platform\``,
  });
}

/** As `fetchPlatform`, but returns a single image whatever its platform, without reading its config. */
export async function fetchFromIndex(
  target: Fetcher,
  reference: string,
  platform: Platform,
  options: OperationOptions = {},
): Promise<FetchedManifest> {
  const fetched = await target.fetchManifest(reference, options);
  const { kind, value } = parseFetched(fetched, target.name);
  if (kind === "manifest") return fetched;
  return await target.fetchManifest(entryFor(value, platform, imageName(target.name, reference)).digest, options);
}

function entryFor({ manifests }: Index, platform: Platform, subject: string): Index["manifests"][number] {
  const child = manifests.find((entry) => entry.platform && matchesPlatform(entry.platform, platform));
  if (child) return child;
  const offered = new Set(manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : "(none)")));
  const list = [...offered].slice(0, 20).join(", ") || "none";
  throw new StaveError("PLATFORM_MISMATCH", `${subject} has no image for ${formatPlatform(platform)}; it has ${list}`, {
    subject,
    hint: "choose one of them with `platform`",
  });
}

/** The platform in the config of an image; undefined for an artifact. */
async function platformOf(
  target: Fetcher,
  { config }: Manifest,
  options: OperationOptions,
): Promise<Platform | undefined> {
  if (config.mediaType !== OCI_CONFIG && config.mediaType !== DOCKER_CONFIG) return undefined;
  const bytes = await fetchConfig(target, config, options);
  const found = parseBySchema(bytes, platformSchema.partial(), `config ${config.digest}`);
  const { os, architecture, variant } = found;
  // The index of a Spack cache has the config `{}`: an artifact in all but its media type.
  return os === undefined || architecture === undefined ? undefined : { os, architecture, variant };
}
