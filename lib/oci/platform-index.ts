// The images of one application for several platforms: the tag of each, and the index of all. Pure.
import { StaveError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { canonicalBytes } from "./manifest.ts";
import { DOCKER_INDEX, familyOf, OCI_INDEX } from "./mediatype.ts";
import { formatPlatform, type Platform } from "./platform.ts";

/** An image for a platform; for amd64, the variant `v2` to `v4` is the level that its code needs. */
export interface PlatformImage {
  readonly platform: Platform;
  readonly descriptor: Pick<Descriptor, "mediaType" | "digest" | "size">;
}

/** A tag may have this many characters. */
const TAG_LENGTH = 128;

/**
 * The tag of the image for one platform: `app.linux-amd64`, `app.linux-amd64-v3`. Throws USAGE for a tag that is too
 * long for that, or that Spack would take for a spec.
 */
export function platformTag(tag: string, platform: Platform): string {
  const { os, architecture, variant } = plainPlatform(platform);
  const full = `${tag}.${os}-${architecture}${variant === undefined ? "" : `-${variant}`}`;
  if (tag.endsWith(".spack"))
    throw new StaveError("USAGE", `the tag ${tag} is reserved for specs, and cannot name several platforms`, {
      hint: "choose a tag that does not end in .spack",
    });
  if (full.length > TAG_LENGTH)
    throw new StaveError("USAGE", `the tag ${full} has ${full.length} characters, expected at most ${TAG_LENGTH}`, {
      hint: "choose a shorter tag",
    });
  return full;
}

/** The platform in the tag of an image for one platform; undefined for any other tag. */
export function platformInTag(tag: string, full: string): Platform | undefined {
  if (!full.startsWith(`${tag}.`)) return undefined;
  const [, os, architecture, variant] =
    /^([a-z0-9]+)-([a-z0-9_]+)(?:-([a-z0-9.]+))?$/.exec(full.slice(tag.length + 1)) ?? [];
  if (os === undefined || architecture === undefined) return undefined;
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** Without the variants that are implied: `v1` of amd64 and `v8` of arm64. */
export function plainPlatform({ os, architecture, variant }: Platform): Platform {
  const isImplied =
    !variant || `${architecture}/${variant}` === "amd64/v1" || `${architecture}/${variant}` === "arm64/v8";
  return isImplied ? { os, architecture } : { os, architecture, variant };
}

/**
 * The index of some images, one for each platform: the same images give the same bytes. Clients do not detect the level
 * of an amd64 processor, so the lowest level of each architecture comes first, without a variant; the others follow,
 * highest first. On 32-bit ARM clients do detect the variant, and it stays.
 */
export function platformIndex(images: readonly PlatformImage[]): { bytes: Uint8Array; mediaType: string } {
  const groups = Map.groupBy(images, ({ platform: { os, architecture } }) => `${os}/${architecture}`);
  const manifests = [...groups.keys()].sort().flatMap((key) => {
    const all = (groups.get(key) ?? []).toSorted((a, b) => levelOf(a.platform) - levelOf(b.platform));
    const [lowest, ...others] = all;
    if (lowest === undefined) return [];
    const { os, architecture } = lowest.platform;
    const first = architecture === "arm" ? lowest : { ...lowest, platform: { os, architecture } };
    return [first, ...others.reverse()].map(entryOf);
  });
  const isDocker = images.every(({ descriptor }) => familyOf(descriptor.mediaType) === "docker");
  const mediaType = isDocker ? DOCKER_INDEX : OCI_INDEX;
  return { bytes: canonicalBytes({ schemaVersion: 2, mediaType, manifests }), mediaType };
}

function entryOf({ platform, descriptor: { mediaType, digest, size } }: PlatformImage): Descriptor {
  const { os, architecture, variant } = plainPlatform(platform);
  return { mediaType, digest, size, platform: { architecture, os, ...(variant !== undefined && { variant }) } };
}

// Two images for one platform cannot both be in an index; other variants than levels come in the order of their names.
function levelOf({ variant = "v1" }: Platform): number {
  return Number(/^v(\d{1,3})$/.exec(variant)?.[1] ?? 0);
}

/** The platform as the key of an image. */
export function platformKey(platform: Platform): string {
  return formatPlatform(plainPlatform(platform));
}
