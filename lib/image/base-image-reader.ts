// Reads a base image and checks that other images can be built on it. Resolving its name is up to the caller.
import { isStaveError, StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { type Config, configSchema, parseBySchema, parseManifest } from "../oci/manifest.ts";
import { DOCKER_CONFIG, familyOf, layerTypeIn, type MediaFamily, OCI_CONFIG } from "../oci/mediatype.ts";
import { formatPlatform } from "../oci/platform.ts";
import { DEFAULT_TAG, formatReference, parseLocation } from "../oci/reference.ts";
import { printable } from "../printable/printable.ts";
import { listAt, objectAt, own } from "../spack/text/fields.ts";
import { isObject, parseJsonBytes } from "../spack/text/json.ts";
import type { JsonObject } from "../spack/text/json-value.ts";

/** A base image as fetched. */
export interface FetchedBase {
  /** The name that the user knows, for messages. */
  readonly name: string;
  readonly manifest: Uint8Array;
  /** The media type that the manifest was fetched with. */
  readonly mediaType: string | undefined;
  readonly config: Uint8Array;
}

/** A validated base image. */
export interface BaseImage {
  readonly family: MediaFamily;
  /** The manifest's `mediaType`; undefined if it has none. */
  readonly manifestType: string | undefined;
  /** The layers that the new image's repository must contain. */
  readonly layers: readonly Descriptor[];
  /** The layers exactly as in the manifest, with all keys. */
  readonly layerObjects: readonly JsonObject[];
  /** The config exactly as written, with all keys. */
  readonly config: JsonObject;
  readonly diffIds: readonly Digest[];
  /** The `Env` of its config. */
  readonly env: readonly string[];
  /** The digest of its manifest. */
  readonly digest: Digest;
  /** Its full reference, by which it can be found again; undefined for one in a directory. */
  readonly reference: string | undefined;
}

/**
 * Reads a base image for a Go architecture. Throws MEDIA_TYPE if it is not an image, PLATFORM_MISMATCH for another
 * architecture or system, CONTENT_INVALID if it is malformed.
 */
export function readBaseImage(base: FetchedBase, architecture: string): BaseImage {
  const document = parseManifest(base.manifest, base.mediaType, base.name);
  if (document.kind === "index") throw notAnImage(base, "an index");
  const { config: descriptor, layers, artifactType } = document.value;
  if (artifactType !== undefined) throw notAnImage(base, `an artifact of type ${printable(artifactType)}`);
  if (descriptor.mediaType !== OCI_CONFIG && descriptor.mediaType !== DOCKER_CONFIG)
    throw notAnImage(base, `an artifact whose config is of type ${printable(descriptor.mediaType)}`);
  const odd = layers.find(({ mediaType }) => layerTypeIn("oci", mediaType) === undefined);
  if (odd !== undefined) throw notAnImage(base, `an artifact with a layer of type ${printable(odd.mediaType)}`);
  const config = parseBySchema(base.config, configSchema, `the config of ${base.name}`);
  checkPlatform(base, config, architecture);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== layers.length)
    throw new StaveError(
      "CONTENT_INVALID",
      `the base image ${base.name} has ${layers.length} layers, but its config names ${diffIds.length}`,
      { subject: base.name },
    );
  const place = { source: { name: base.name } };
  const manifest = objectOf(base.manifest, base.name);
  const manifestType = own(manifest, "mediaType");
  return {
    family: familyOf(document.mediaType),
    manifestType: typeof manifestType === "string" ? manifestType : undefined,
    layers,
    layerObjects: listAt(manifest, "layers", place).filter(isObject),
    config: objectOf(base.config, `the config of ${base.name}`),
    diffIds,
    env: config.config?.Env ?? [],
    digest: digestOf(base.manifest),
    reference: fullReference(base.name),
  };
}

/**
 * The full reference of an image in a registry, as images record it; undefined for one in a directory, which is at this
 * place only on this machine.
 */
export function fullReference(name: string): string | undefined {
  try {
    const location = parseLocation(name);
    if (location.kind !== "registry") return undefined;
    const { reference } = location;
    const tag = reference.tag ?? DEFAULT_TAG;
    return formatReference({ ...reference, tag, digest: undefined }).replace(/^index\.docker\.io\//, "docker.io/");
  } catch (error) {
    if (isStaveError(error)) return undefined;
    throw error;
  }
}

function objectOf(bytes: Uint8Array, name: string): JsonObject {
  return objectAt({ document: parseJsonBytes(bytes, { name }) }, "document", { source: { name } });
}

function notAnImage(base: FetchedBase, what: string): StaveError {
  return new StaveError("MEDIA_TYPE", `the base image ${base.name} is ${what}, expected an image`, {
    subject: base.name,
    hint: "name a container image with `baseImage`, for example debian:12-slim",
  });
}

function checkPlatform(base: FetchedBase, { os, architecture }: Config, wanted: string): void {
  if (os === "linux" && architecture === wanted) return;
  const found = printable(formatPlatform({ os, architecture }));
  throw new StaveError("PLATFORM_MISMATCH", `the base image ${base.name} is for ${found}, expected linux/${wanted}`, {
    subject: base.name,
    hint: `name a base image that has linux/${wanted} with \`baseImage\``,
  });
}
