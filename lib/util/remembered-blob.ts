// Reads a blob at most once per machine: from the disk cache if it is there and has its digest.
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, digestOf } from "../oci/digest.ts";
import type { DiskCache } from "./disk-cache.ts";

/** The kinds of entries in the disk cache, by digest: blobs as they are, and documents compressed. */
export const BLOBS = "blobs";
const DOCUMENTS = "documents";

type Blob = Pick<Descriptor, "digest" | "size">;

/** The bytes of a blob, remembered or fetched; `fetch` must verify them. Throws what `fetch` throws. */
export async function rememberedBlob(
  memory: DiskCache | undefined,
  blob: Blob,
  fetch: () => Promise<Buffer>,
): Promise<Buffer> {
  const known = memory?.get(BLOBS, blob.digest);
  if (known !== undefined && isBlob(known, blob)) return known;
  const bytes = await fetch();
  memory?.set(BLOBS, blob.digest, bytes);
  return bytes;
}

/**
 * As `rememberedBlob`, for a JSON document, which is stored compressed. Configs repeat the nodes of all dependencies:
 * compressed, they take a twelfth of the space.
 */
export async function rememberedDocument(
  memory: DiskCache | undefined,
  blob: Blob,
  fetch: () => Promise<Buffer>,
): Promise<Buffer> {
  const known = memory?.get(DOCUMENTS, blob.digest);
  const document = known && decompressed(known, blob.size);
  if (document !== undefined && isBlob(document, blob)) return document;
  const bytes = await fetch();
  const params = { [constants.ZSTD_c_compressionLevel]: 1 };
  memory?.set(DOCUMENTS, blob.digest, zstdCompressSync(bytes, { params }));
  return bytes;
}

function decompressed(bytes: Buffer, size: number): Buffer | undefined {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, size) });
  } catch {
    // The entry is damaged.
    return undefined;
  }
}

function isBlob(bytes: Buffer, { digest, size }: Blob): boolean {
  return bytes.length === size && digestOf(bytes, algorithmOf(digest)) === digest;
}
