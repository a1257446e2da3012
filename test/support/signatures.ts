// A target in memory whose images have whatever attached that a test wants, true or not.
import { Readable } from "node:stream";
import { StaveError } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci/descriptor.ts";
import { type Digest, digestOf } from "../../lib/oci/digest.ts";
import { canonicalBytes, describe } from "../../lib/oci/manifest.ts";
import { OCI_MANIFEST } from "../../lib/oci/mediatype.ts";
import { signatureManifest } from "../../lib/sign/signature/attach.ts";
import { BUNDLE_TYPE } from "../../lib/sign/statement/bundle.ts";
import { SIGNATURE_PREDICATE } from "../../lib/sign/statement/statement.ts";
import { emptyTarget } from "../../lib/target/empty-target.ts";
import type { ReadTarget } from "../../lib/target/target.ts";
import { verifiedStream } from "../../lib/util/stream.ts";

export interface Attached {
  bundle: Uint8Array;
  /** Changes the manifest that attaches the bundle. */
  change?: (manifest: Record<string, unknown>) => void;
  /** Changes the entry of the list of referrers. */
  entry?: (entry: Record<string, unknown>) => void;
  /** The bundle's blob is absent. */
  isGone?: boolean;
}

export interface MemoryTarget extends ReadTarget {
  /** How often anything was fetched, by digest. */
  readonly fetched: Map<string, number>;
}

export function memoryTarget(image: Descriptor, all: readonly Attached[]): MemoryTarget {
  const blobs = new Map<Digest, Uint8Array>();
  const entries: Descriptor[] = [];
  for (const { bundle, change, entry, isGone } of all) {
    const layer = describe(bundle, BUNDLE_TYPE);
    if (!isGone) blobs.set(layer.digest, bundle);
    const manifest: Record<string, unknown> = { ...signatureManifest(layer, image, SIGNATURE_PREDICATE) };
    change?.(manifest);
    const bytes = canonicalBytes(manifest);
    const listed: Record<string, unknown> = {
      ...describe(bytes, OCI_MANIFEST),
      artifactType: manifest["artifactType"],
      annotations: manifest["annotations"],
    };
    entry?.(listed);
    blobs.set(digestOf(bytes), bytes);
    entries.push(listed as unknown as Descriptor);
  }
  const fetched = new Map<string, number>();
  const get = (digest: Digest): Uint8Array => {
    fetched.set(digest, (fetched.get(digest) ?? 0) + 1);
    const bytes = blobs.get(digest);
    if (bytes === undefined) throw new StaveError("NOT_FOUND", `there is no ${digest}`);
    return bytes;
  };
  return {
    ...emptyTarget("registry.example/cache"),
    fetched,
    referrers: () => Promise.resolve(entries),
    fetchBlob: async (descriptor) =>
      verifiedStream(Readable.from([Buffer.from(get(descriptor.digest))]), descriptor, "the blob"),
    fetchManifest: async (reference, { limit = Number.POSITIVE_INFINITY } = {}) => {
      const bytes = Buffer.from(get(reference as Digest));
      if (bytes.length > limit) throw new StaveError("TOO_LARGE", `${reference} is too large`);
      return { descriptor: describe(bytes, OCI_MANIFEST), bytes, obeysConditions: false };
    },
  };
}
