// The manifests of mirrors of layout 3 (Spack `url_buildcache.py`): small texts that name blobs by their checksums.
import * as z from "zod";
import type { Descriptor } from "../../oci/descriptor.ts";
import { hexOf, isDigest } from "../../oci/digest.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { printable } from "../../printable/printable.ts";
import { invalid } from "../../spack/text/json.ts";

/** Maximum number of bytes of a manifest; real ones have less than 3000. */
export const MIRROR_MANIFEST_LIMIT: number = 1024 * 1024;

/** What a blob is. */
export type BlobKind = "archive" | "spec" | "index" | "key" | "key index";

// Spack writes the first of each, whatever the version of the content; newer ones may count up.
const MEDIA_TYPES: Record<BlobKind, readonly [written: string, read: RegExp]> = {
  archive: ["application/vnd.spack.install.v2.tar+gzip", /^application\/vnd\.spack\.install\.v[0-9]+\.tar\+gzip$/],
  spec: ["application/vnd.spack.spec.v5+json", /^application\/vnd\.spack\.spec\.v[0-9]+\+json$/],
  index: ["application/vnd.spack.db.v8+json", /^application\/vnd\.spack\.db\.v[0-9]+\+json$/],
  key: ["application/pgp-keys", /^application\/pgp-keys$/],
  "key index": ["application/vnd.spack.keyindex.v1+json", /^application\/vnd\.spack\.keyindex\.v[0-9]+\+json$/],
};

/** The media type under which a blob is written. */
export function mediaTypeOf(kind: BlobKind): string {
  return MEDIA_TYPES[kind][0];
}

const recordSchema = z.looseObject({
  contentLength: z.int().min(0),
  mediaType: z.string(),
  checksumAlgorithm: z.string(),
  checksum: z.string(),
});
const manifestSchema = z.looseObject({ version: z.literal(3), data: z.array(recordSchema).max(100) });

/**
 * The first blob of a kind that a manifest names; undefined if there is none. Throws CONTENT_INVALID for a text that is
 * no manifest, and for a checksum that cannot be checked.
 */
export function blobIn(text: string, kind: BlobKind, name: string): Descriptor | undefined {
  const { data } = parseBySchema(text, manifestSchema, name);
  const record = data.find(({ mediaType }) => MEDIA_TYPES[kind][1].test(mediaType));
  if (record === undefined) return undefined;
  const { mediaType, contentLength: size, checksumAlgorithm, checksum } = record;
  const digest = `${checksumAlgorithm}:${checksum}`;
  if (isDigest(digest)) return { mediaType, digest, size };
  throw invalid(
    { name },
    `names its ${kind} by ${printable(digest.slice(0, 160))}, expected a sha256 or sha512 checksum`,
  );
}

/** Every blob that a manifest names, whatever its kind. Throws CONTENT_INVALID. */
export function blobsIn(text: string, name: string): Descriptor[] {
  return parseBySchema(text, manifestSchema, name).data.map((record) => {
    const { mediaType, contentLength: size, checksumAlgorithm, checksum } = record;
    const digest = `${checksumAlgorithm}:${checksum}`;
    if (!isDigest(digest)) throw invalid({ name }, `has the checksum ${printable(digest.slice(0, 160))}`);
    return { mediaType, digest, size };
  });
}

/** A blob for a manifest. */
export interface WrittenBlob extends Omit<Descriptor, "mediaType"> {
  readonly kind: BlobKind;
}

/** The text of a manifest, byte by byte as Spack writes it. */
export function manifestText(blobs: readonly WrittenBlob[]): string {
  const records = blobs.map(({ kind, digest, size }) => {
    const compression = kind === "archive" || kind === "spec" ? "gzip" : "none";
    const [algorithm = ""] = digest.split(":");
    return [
      `"contentLength":${size}`,
      `"mediaType":"${mediaTypeOf(kind)}"`,
      `"compression":"${compression}"`,
      `"checksumAlgorithm":"${algorithm}"`,
      `"checksum":"${hexOf(digest)}"`,
    ].join(",\n");
  });
  return `{\n"version":3,\n"data":[\n${records.map((record) => `{\n${record}\n}`).join(",\n")}\n]\n}`;
}

/** The key of a blob below the root of a mirror. */
export function blobKey({ digest }: Pick<Descriptor, "digest">): string {
  const [algorithm = ""] = digest.split(":");
  const hex = hexOf(digest);
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}`;
}
