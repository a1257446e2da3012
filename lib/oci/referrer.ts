// The fallback tag and the list entry of a referrer, the same in registries and layout directories (OCI distribution
// 1.1, "Listing Referrers" and "Referrers Tag Schema").
import type { Descriptor } from "./descriptor.ts";
import { algorithmOf, type Digest, hexOf } from "./digest.ts";
import type { Index, Manifest } from "./manifest.ts";

/** The fallback tag of a digest: `sha256-<hex>`, at most 64 hex digits. */
export function referrersTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`;
}

/** The descriptor that lists a manifest among the referrers of its subject. */
export function referrerEntry(descriptor: Descriptor, manifest: Manifest | Index): Descriptor {
  const artifactType =
    manifest.artifactType ?? ("config" in manifest ? (manifest as Manifest).config.mediaType : undefined);
  return {
    ...descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations ? { annotations: manifest.annotations } : {}),
  };
}
