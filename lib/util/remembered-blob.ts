// Reads a blob at most once per machine: from the disk cache if it is there and has its digest.
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, digestOf } from "../oci/digest.ts";
import type { DiskCache } from "./disk-cache.ts";

/** The kind of entry of the disk cache that blobs are, by their digests. */
export const BLOBS = "blobs";

/** The bytes of a blob, remembered or fetched; `fetch` must verify them. Throws what `fetch` throws. */
export async function rememberedBlob(
  memory: DiskCache | undefined,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  fetch: () => Promise<Buffer>,
): Promise<Buffer> {
  const known = memory?.get(BLOBS, digest);
  if (known?.length === size && digestOf(known, algorithmOf(digest)) === digest) return known;
  const bytes = await fetch();
  memory?.set(BLOBS, digest, bytes);
  return bytes;
}
