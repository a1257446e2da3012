// Manifests of artifacts that refer to an image (OCI image-spec 1.1, "Guidelines for Artifact Usage").
import type { Descriptor } from "./descriptor.ts";
import { describe, type Manifest } from "./manifest.ts";
import { OCI_EMPTY, OCI_MANIFEST } from "./mediatype.ts";

/** The content of a config that says nothing, which every artifact manifest names. */
export const EMPTY_CONFIG: Buffer = Buffer.from("{}");

/** The parts of an artifact. */
export interface ArtifactParts {
  readonly artifactType: string;
  readonly layers: readonly Descriptor[];
  /** The manifest that it refers to. */
  readonly subject: Descriptor;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The manifest of an artifact. It has no time, so that the same parts give the same artifact. */
export function artifactManifest({ artifactType, layers, subject, annotations }: ArtifactParts): Manifest {
  const { mediaType, digest, size } = subject;
  const config = describe(EMPTY_CONFIG, OCI_EMPTY);
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType,
    config,
    // An artifact has at least one layer.
    layers: layers.length === 0 ? [config] : [...layers],
    subject: { mediaType, digest, size },
    ...(Object.keys(annotations).length > 0 && { annotations: { ...annotations } }),
  };
}
