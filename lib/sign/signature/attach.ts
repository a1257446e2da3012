// Attaches bundles to images, as cosign 3 does: one artifact manifest per image, all of which share one bundle.
import { artifactManifest, EMPTY_CONFIG } from "../../oci/artifact.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { canonicalBytes, describe, type Manifest } from "../../oci/manifest.ts";
import { OCI_EMPTY, OCI_MANIFEST } from "../../oci/mediatype.ts";
import type { BlobPusher, OperationOptions, ReferrerPusher } from "../../target/target.ts";
import { bytesSource } from "../../util/stream.ts";
import { BUNDLE_TYPE } from "../statement/bundle.ts";

/** The annotation with the predicate type, by which cosign lists what is attached. */
export const PREDICATE_ANNOTATION = "dev.sigstore.bundle.predicateType";

/**
 * The artifact that attaches a bundle to an image. It has no time, so that the same bundle gives the same artifact.
 */
export function signatureManifest(bundle: Descriptor, image: Descriptor, predicateType: string): Manifest {
  const annotations = { "dev.sigstore.bundle.content": "dsse-envelope", [PREDICATE_ANNOTATION]: predicateType };
  return artifactManifest({ artifactType: BUNDLE_TYPE, layers: [bundle], subject: image, annotations });
}

/** What to attach. */
export interface Attachment {
  readonly bundle: Uint8Array;
  readonly predicateType: string;
  /** The images, by their manifests. */
  readonly images: readonly Descriptor[];
}

/** Attaches a bundle to all images that its statement names. */
export async function attach(
  target: BlobPusher & ReferrerPusher,
  { bundle, predicateType, images }: Attachment,
  options: OperationOptions = {},
): Promise<void> {
  const layer = describe(bundle, BUNDLE_TYPE);
  const { signal } = options;
  // Asking whether the config exists would take as many requests as sending its two bytes.
  await target.pushBlob(describe(EMPTY_CONFIG, OCI_EMPTY), bytesSource(EMPTY_CONFIG), { signal, isNew: true });
  await target.pushBlob(layer, bytesSource(bundle), { signal, isNew: true });
  const manifests = images.map((image) => ({
    bytes: canonicalBytes(signatureManifest(layer, image, predicateType)),
    mediaType: OCI_MANIFEST,
  }));
  await target.pushReferrers(manifests, options);
}
