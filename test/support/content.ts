// Small images for tests.
import type { Descriptor } from "../../lib/oci/descriptor.ts";
import { digestOf } from "../../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import type { Target } from "../../lib/target/target.ts";
import { bytesSource } from "../../lib/util/stream.ts";

/** Bytes that depend only on the seed. */
export function someBytes(size: number, seed: string | number = 0): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at * 32 < size; at++) parts.push(Buffer.from(digestOf(`${seed}/${at}`).slice(7), "hex"));
  return Buffer.concat(parts).subarray(0, size);
}

/** A blob with its descriptor. */
export function blobOf(
  bytes: Uint8Array,
  mediaType: string = OCI_LAYER_GZIP,
): { bytes: Uint8Array; descriptor: Descriptor } {
  return { bytes, descriptor: describe(bytes, mediaType) };
}

export interface TestImage {
  blobs: { bytes: Uint8Array; descriptor: Descriptor }[];
  bytes: Uint8Array;
  descriptor: Descriptor;
}

/** An image of some layers, without writing it. */
export function imageOf(
  seed: string | number,
  sizes: number[] = [1000, 50_000],
  extra: Record<string, unknown> = {},
  architecture = "amd64",
): TestImage {
  const layers = sizes.map((size, at) => blobOf(someBytes(size, `${seed}-${at}`)));
  const diffIDs = layers.map(({ descriptor }) => descriptor.digest);
  const config = blobOf(
    canonicalBytes({ architecture, os: "linux", rootfs: { type: "layers", diff_ids: diffIDs }, seed }),
    OCI_CONFIG,
  );
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: config.descriptor,
    layers: layers.map((layer) => layer.descriptor),
    ...extra,
  };
  const bytes = canonicalBytes(document);
  return { blobs: [config, ...layers], bytes, descriptor: describe(bytes, OCI_MANIFEST) };
}

/** Writes an image into a target. */
export async function pushImage(target: Target, image: TestImage, tag?: string): Promise<Descriptor> {
  for (const { bytes, descriptor } of image.blobs) await target.pushBlob(descriptor, bytesSource(bytes));
  return (await target.pushManifest(image.bytes, image.descriptor.mediaType, { tag })).descriptor;
}

/** An index over images for several architectures, without writing it. */
export function indexOf(images: { image: TestImage; architecture: string }[]): {
  bytes: Uint8Array;
  descriptor: Descriptor;
} {
  const manifests = images.map(({ image, architecture }) => ({
    ...image.descriptor,
    platform: { os: "linux", architecture },
  }));
  const bytes = canonicalBytes({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  return { bytes, descriptor: describe(bytes, OCI_INDEX) };
}
