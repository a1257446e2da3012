// Signatures in the form of cosign 2, which podman, skopeo and bootc read: an image under the tag `sha256-HEX.sig`
// with one small layer per signature. They bind the digest and the repository, never the tag.
import { isStaveError, StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { type Digest, hexOf } from "../../oci/digest.ts";
import { canonicalBytes, configSchema, describe, type Manifest, parseBySchema } from "../../oci/manifest.ts";
import { OCI_CONFIG, OCI_MANIFEST } from "../../oci/mediatype.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import type { OperationOptions, Target } from "../../target/target.ts";
import { bytesSource } from "../../util/stream.ts";
import type { PrivateKey } from "../key/private-key.ts";

const LAYER_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE = "dev.cosignproject.cosign/signature";
/** Maximum number of signatures of one image. */
const LEGACY_LIMIT = 64;
/** How often an update is tried again after another writer's. */
const TRIES = 10;

/** What a legacy signature is about. */
export interface LegacySubject {
  readonly digest: Digest;
  /** `HOST/REPO`, as podman knows the image. */
  readonly repository: string;
}

/** The bytes that are signed. */
export function legacyPayload({ digest, repository }: LegacySubject): Uint8Array {
  return canonicalBytes({
    critical: {
      identity: { "docker-reference": repository },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
}

/** The tag of the signatures of an image. */
export function legacyTag(digest: Digest): string {
  return `sha256-${hexOf(digest)}.sig`;
}

interface Present {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  readonly digest: Digest | undefined;
}

/**
 * Adds a signature to those of an image; returns false if the key has signed it before. Throws CONFLICT if others keep
 * writing, and CONTENT_INVALID or MEDIA_TYPE if the tag holds something else.
 */
export async function addLegacySignature(
  target: Target,
  subject: LegacySubject,
  key: PrivateKey,
  options: OperationOptions = {},
): Promise<boolean> {
  const { signal } = options;
  const tag = legacyTag(subject.digest);
  const payload = legacyPayload(subject);
  const layer = describe(payload, LAYER_TYPE);
  const isMine = ({ digest, annotations }: Descriptor): boolean =>
    digest === layer.digest && key.publicKey.verifies(payload, Buffer.from(annotations?.[SIGNATURE] ?? "", "base64"));
  const signature = key.sign(payload).toString("base64");
  await target.pushBlob(layer, bytesSource(payload), { signal });
  for (let tried = 0; tried < TRIES; tried++) {
    const present = await readPresent(target, tag, options);
    if (present.layers.some(isMine)) return tried > 0;
    const layers = [...present.layers, { ...layer, annotations: { [SIGNATURE]: signature } }];
    const config = canonicalBytes({
      architecture: "",
      os: "",
      rootfs: { type: "layers", diff_ids: [...present.diffIds, layer.digest] },
    });
    const described = describe(config, OCI_CONFIG);
    await target.pushBlob(described, bytesSource(config), { signal });
    const manifest: Manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: described, layers };
    await putUnlessMoved(target, canonicalBytes(manifest), tag, present.digest, options);
  }
  throw new StaveError("CONFLICT", `the signatures of ${subject.digest} in ${target.name} keep being overwritten`, {
    subject: subject.digest,
    hint: "sign the same image from fewer jobs at once",
  });
}

// The next round looks whether the signature is there: not every registry has conditions.
async function putUnlessMoved(
  target: Target,
  bytes: Uint8Array,
  tag: string,
  present: Digest | undefined,
  { signal }: OperationOptions,
): Promise<void> {
  const condition = present === undefined ? ({ absent: true } as const) : { digest: present };
  try {
    await target.pushManifest(bytes, OCI_MANIFEST, { tag, condition, signal });
  } catch (error) {
    if (isStaveError(error, "CONFLICT")) return;
    if (!isStaveError(error, "UNSUPPORTED")) throw error;
    await target.pushManifest(bytes, OCI_MANIFEST, { tag, signal });
  }
}

async function readPresent(target: Target, tag: string, options: OperationOptions): Promise<Present> {
  try {
    const fetched = await target.fetchManifest(tag, options);
    const document = parseFetched(fetched, target.name);
    const name = `the signatures ${tag} in ${target.name}`;
    if (document.kind === "index" || document.value.layers.some(({ mediaType }) => mediaType !== LAYER_TYPE))
      throw new StaveError("MEDIA_TYPE", `${name} are not signatures`, { subject: name });
    const { layers, config } = document.value;
    const { rootfs } = parseBySchema(await fetchConfig(target, config, options), configSchema, name);
    if (layers.length !== rootfs.diff_ids.length || layers.length >= LEGACY_LIMIT)
      throw new StaveError("CONTENT_INVALID", `${name} are ${layers.length}, which cannot be added to`, {
        subject: name,
      });
    return { layers, diffIds: rootfs.diff_ids, digest: fetched.descriptor.digest };
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return { layers: [], diffIds: [], digest: undefined };
    throw error;
  }
}
