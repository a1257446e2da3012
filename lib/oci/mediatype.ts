// Media types by family, and predicates on them. No I/O.

/** An OCI image or artifact manifest. */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
/** An OCI image index. */
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
/** The config of artifacts without one (OCI image-spec 1.1, "Guidance for an Empty Descriptor"); its bytes are `{}`. */
export const OCI_EMPTY = "application/vnd.oci.empty.v1+json";
/** An OCI image config. */
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
/** An uncompressed OCI layer. */
export const OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar";
/** A gzip-compressed OCI layer. */
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
/** A zstd-compressed OCI layer. */
export const OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
/** A Docker image manifest, schema 2. */
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
/** A Docker manifest list. */
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
/** A Docker image config. */
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
/** An uncompressed Docker layer. */
export const DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar";
/** A gzip-compressed Docker layer. */
export const DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/** A Docker layer that registries need not hold. */
export const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/** Manifest types in the order in which Spack requests them (Spack `oci/oci.py`). */
export const MANIFEST_TYPES: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];
/** Index types, OCI first. */
export const INDEX_TYPES: readonly string[] = [OCI_INDEX, DOCKER_INDEX];

/** The `Accept` list of a request for any manifest or index. */
export const ACCEPT_MANIFEST: string = [...MANIFEST_TYPES, ...INDEX_TYPES].join(", ");

/** The media type without parameters such as `; charset=utf-8`. */
export function bareMediaType(value: string): string {
  return (value.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** True for the manifest of a single image or artifact. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType);
}

/** True for an index or manifest list. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.includes(mediaType);
}

/** The family of an image: OCI and Docker media types are never mixed in one manifest. */
export type MediaFamily = "oci" | "docker";

/** The family of a manifest or index type. */
export function familyOf(manifestMediaType: string): MediaFamily {
  return manifestMediaType === DOCKER_MANIFEST || manifestMediaType === DOCKER_INDEX ? "docker" : "oci";
}

/**
 * True for layers that a registry need not hold (`urls` names another place); they are copied only if the source holds
 * them.
 */
export function isForeignLayer(mediaType: string): boolean {
  return (
    mediaType === DOCKER_FOREIGN_LAYER || mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.")
  );
}

// Equivalent layer types of both families.
const SAME_LAYERS: readonly (readonly [oci: string, docker: string])[] = [
  [OCI_LAYER_TAR, DOCKER_LAYER_TAR],
  [OCI_LAYER_GZIP, DOCKER_LAYER_GZIP],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", DOCKER_FOREIGN_LAYER],
];

/** The equivalent of a layer type in a family; undefined if there is none (Docker has no zstd). */
export function layerTypeIn(family: MediaFamily, mediaType: string): string | undefined {
  const same = SAME_LAYERS.find((pair) => pair.includes(mediaType));
  if (same !== undefined) return family === "oci" ? same[0] : same[1];
  return family === "oci" && mediaType.startsWith("application/vnd.oci.image.layer.") ? mediaType : undefined;
}

/** True if a text has the form of a media type (RFC 6838, 4.2), without parameters. */
export function isMediaType(text: string): boolean {
  return /^[A-Za-z0-9][\w!#$&^.+-]{0,126}\/[A-Za-z0-9][\w!#$&^.+-]{0,126}$/.test(text);
}
