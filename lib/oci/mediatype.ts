// Media types by family, and the questions asked about them. No I/O.

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar";
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
export const OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
export const DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar";
export const DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
export const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/** The manifest types in the order in which Spack asks for them (Spack `oci/oci.py`), single images first. */
export const MANIFEST_TYPES: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];
export const INDEX_TYPES: readonly string[] = [OCI_INDEX, DOCKER_INDEX];

/** The `Accept` list of a request for any manifest or index. */
export const ACCEPT_MANIFEST: string = [...MANIFEST_TYPES, ...INDEX_TYPES].join(", ");

/** The media type without parameters such as `; charset=utf-8`. */
export function bareMediaType(value: string): string {
  return (value.split(";", 1)[0] ?? "").trim().toLowerCase();
}

export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType);
}

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.includes(mediaType);
}

/** The family of an image: OCI and Docker media types are never mixed in one manifest. */
export type MediaFamily = "oci" | "docker";

export function familyOf(manifestMediaType: string): MediaFamily {
  return manifestMediaType === DOCKER_MANIFEST || manifestMediaType === DOCKER_INDEX ? "docker" : "oci";
}

/** Layers that a registry need not hold (`urls` points elsewhere); copied only when it does. */
export function isForeignLayer(mediaType: string): boolean {
  return (
    mediaType === DOCKER_FOREIGN_LAYER || mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.")
  );
}

// Layer types that mean the same in both families.
const SAME_LAYERS: readonly (readonly [oci: string, docker: string])[] = [
  [OCI_LAYER_TAR, DOCKER_LAYER_TAR],
  [OCI_LAYER_GZIP, DOCKER_LAYER_GZIP],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", DOCKER_FOREIGN_LAYER],
];

/** The name that a layer type has in a family; undefined when that family knows no such layer (Docker has no zstd). */
export function layerTypeIn(family: MediaFamily, mediaType: string): string | undefined {
  const same = SAME_LAYERS.find((pair) => pair.includes(mediaType));
  if (same !== undefined) return family === "oci" ? same[0] : same[1];
  return family === "oci" && mediaType.startsWith("application/vnd.oci.image.layer.") ? mediaType : undefined;
}
