// The address of a cache for the readers of its catalogue, who are elsewhere.
import type { CacheAddress } from "../../catalogue/catalogue-data.ts";
import { parseLocation } from "../../oci/reference.ts";
import { type CacheLocation, formatCache, isMirror, parseMirror } from "./mirror-location.ts";

/** The address that a text names; by default that of the cache itself. Throws REFERENCE_INVALID. */
export function cacheAddress(text: string | undefined, cache: CacheLocation, cwd: string): CacheAddress {
  const location = text === undefined ? cache : (parseMirror(text, cwd) ?? parseLocation(text));
  return { kind: isMirror(location) ? "mirror" : "images", text: formatCache(location) };
}
