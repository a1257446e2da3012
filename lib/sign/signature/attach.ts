// Attaches bundles to images, as cosign 3 does: one artifact manifest per image, all of which share one bundle.
import { artifactManifest, EMPTY_CONFIG } from "../../oci/artifact.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { canonicalBytes, describe, type Manifest } from "../../oci/manifest.ts";
import { OCI_EMPTY, OCI_MANIFEST } from "../../oci/mediatype.ts";
import type { BlobPusher, OperationOptions, ReferrerManifest, ReferrerPusher } from "../../target/target.ts";
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

/**
 * Attaches bundles to images, all at once in `finish`: on a registry without the referrers API, each call of
 * `pushReferrers` waits for a second or longer.
 */
export class Attacher {
  readonly #target: BlobPusher & ReferrerPusher;
  readonly #options: OperationOptions;
  readonly #referrers: ReferrerManifest[] = [];
  #config: Promise<unknown> | undefined;

  constructor(target: BlobPusher & ReferrerPusher, options: OperationOptions = {}) {
    this.#target = target;
    this.#options = options;
  }

  /** Stores a bundle, to be attached to all images that its statement names. */
  async add({ bundle, predicateType, images }: Attachment): Promise<void> {
    const layer = describe(bundle, BUNDLE_TYPE);
    // Asking whether a blob exists would take as many requests as sending it.
    const options = { signal: this.#options.signal, isNew: true };
    this.#config ??= this.#target.pushBlob(describe(EMPTY_CONFIG, OCI_EMPTY), bytesSource(EMPTY_CONFIG), options);
    await this.#config;
    await this.#target.pushBlob(layer, bytesSource(bundle), options);
    for (const image of images) {
      const bytes = canonicalBytes(signatureManifest(layer, image, predicateType));
      this.#referrers.push({ bytes, mediaType: OCI_MANIFEST });
    }
  }

  /** Attaches what was added. Throws CONFLICT if others keep overwriting a list of referrers. */
  async finish(): Promise<void> {
    const added = this.#referrers.splice(0);
    if (added.length > 0) await this.#target.pushReferrers(added, this.#options);
  }
}
