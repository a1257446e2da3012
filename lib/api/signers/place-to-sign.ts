// The image or cache whose signatures are made or checked.
import type { Transport } from "../../http/types.ts";
import { type Location, parseLocation } from "../../oci/reference.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { isCacheWord, memoryFor } from "../places/cache-choice.ts";
import { type CacheLocation, parseMirror } from "../places/mirror-location.ts";
import { signedName } from "./trust.ts";

/** An open image or cache. */
export interface SignedPlace<T> {
  readonly target: T;
  readonly location: CacheLocation;
  /** The tag or digest of one image; undefined for a cache. */
  readonly reference: string | undefined;
  /** The cache as statements name it; undefined for a directory, which may be moved. */
  readonly cache: string | undefined;
  readonly memory: DiskCache | undefined;
  /** The way to the network. */
  readonly transport: Transport;
}

// Not `hdf5@1.12:1.14` and `zlib/abc123`, which are specs.
const IMAGE_WORD = /^[a-z0-9][\w.-]*(?:\/[\w.-]+)+(?::[\w.-]+|@sha256:[0-9a-f]{64})$/;

/** True if a word that may be a spec can only be an image: it has a folder, and a tag or a digest. */
export function isImageWord(text: string): boolean {
  return IMAGE_WORD.test(text);
}

/**
 * The location and the tag or digest of the image that a text names; undefined for a cache. A word without a slash or
 * colon is the name of a mirror. Throws REFERENCE_INVALID.
 */
export function imageNamed(
  text: string,
  cwd: string,
): { readonly location: Location; readonly reference: string } | undefined {
  const mayBeImage = isCacheWord(text, cwd) || /[/:]/.test(text);
  if (!mayBeImage || parseMirror(text, cwd) !== undefined) return undefined;
  const location = parseLocation(text);
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  const reference = digest ?? tag;
  return reference === undefined ? undefined : { location, reference };
}

/** Completes an open place. */
export function placeOf<T>(
  opened: Pick<SignedPlace<T>, "target" | "location" | "reference" | "transport">,
  around: Surroundings,
): SignedPlace<T> {
  const { location } = opened;
  return { ...opened, cache: signedName(location), memory: memoryFor(location, around).memory };
}
