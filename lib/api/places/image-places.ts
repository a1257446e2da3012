// The names of images in arguments, for verbs and functions alike: their repositories, the tags to write, and the names
// of exported archives.
import { basename, resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { fullReference } from "../../image/base-image-reader.ts";
import { parsePlatform } from "../../oci/platform.ts";
import {
  DEFAULT_TAG,
  formatLocation,
  type Location,
  parseLocation,
  parseReference,
  parseTag,
} from "../../oci/reference.ts";
import type { AddedImage } from "../../ops/image/image-index.ts";

/** Parses an image of an index of platforms: `REF` or `PLATFORM=REF`. */
export function platformImage(text: string): { place: Location; platform: AddedImage["platform"] } {
  const [, platform, rest] = /^([a-z0-9]+\/[\w./-]+)=(.+)$/s.exec(text) ?? [];
  return {
    place: parseLocation(rest ?? text),
    platform: platform === undefined ? undefined : parsePlatform(platform),
  };
}

/** The repository or directory of a location. */
export function wholePlace(location: Location): string {
  return formatLocation(repositoryOf(location));
}

/** A location without its tag and digest. */
export function repositoryOf(location: Location): Location {
  return location.kind === "layout"
    ? { ...location, tag: undefined, digest: undefined }
    : { ...location, reference: { ...location.reference, tag: undefined, digest: undefined } };
}

/** The tag that a location names. Throws USAGE. */
export function tagToWrite(location: Location): string {
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  if (digest === undefined && (tag !== undefined || location.kind === "registry")) return tag ?? DEFAULT_TAG;
  throw new StaveError("USAGE", `${formatLocation(location)} names no tag to write`, {
    hint: "name the image with a tag, for example ghcr.io/org/app:1 or oci-layout:DIR:app",
  });
}

/** The tag of a rebased image: the given one, else that of the image. Throws USAGE. */
export function rebasedTag(
  { tag, platform }: { readonly tag?: string | undefined; readonly platform?: string | undefined },
  reference: string,
): string {
  if (tag !== undefined) return parseTag(tag);
  if (!reference.includes(":") && platform === undefined) return reference;
  throw new StaveError("USAGE", "an image that is named by its digest, or chosen from an index, needs a tag to write", {
    hint: "name one with `tag`",
  });
}

/** The name under which an exported image is loaded; one in a directory has the directory's name. */
export function archiveName(location: Location, reference: string): string {
  const known = fullReference(formatLocation(location));
  if (known !== undefined) return known;
  const folder = location.kind === "layout" ? basename(resolve(location.directory)) : "image";
  const repository =
    folder
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .replaceAll(/^-|-$/g, "") || "image";
  return `localhost/${repository}:${reference.includes(":") ? "latest" : reference}`;
}

/** A given name, with registry and tag. Throws REFERENCE_INVALID. */
export function givenName(text: string): string {
  parseReference(text);
  return fullReference(text) ?? text;
}
