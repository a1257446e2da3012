// Builds the config and manifest of an image from layers and an optional base, as bytes with descriptors. Pure; keys
// have the order in which Spack writes them (Spack `binary_distribution.py`, _oci_put_manifest).
import { StaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestOf, hexOf } from "../oci/digest.ts";
import {
  DOCKER_CONFIG,
  DOCKER_MANIFEST,
  layerTypeIn,
  type MediaFamily,
  OCI_CONFIG,
  OCI_MANIFEST,
} from "../oci/mediatype.ts";
import { own } from "../spack/text/fields.ts";
import { isObject, writeJson } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
import type { BaseImage } from "./base-image-reader.ts";
import { settingsWithRecord, withBaseRecord } from "./base-record.ts";
import { configOf, type ImageSettings } from "./image-settings.ts";

/** A layer of specs in an image. */
export interface ImageLayer {
  /** Of either family; translated to the image's family. */
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  /**
   * The specs in the layer, for the image's history: `zlib-ng@2.1.4/` and the full DAG hash, separated by spaces.
   */
  readonly label: string;
  /** What the history says of a layer, in place of `spack install` and the label. */
  readonly createdBy?: string | undefined;
  /** Those of its descriptor. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What makes an image the binary package of one spec, whose layer comes last. */
export interface SpecPart {
  /** The value of `spec` in its `spec.json`. */
  readonly document: JsonObject;
  /** The spec as Spack prints it. */
  readonly description: string;
  /** Writes the layout of Spack before 1.0. */
  readonly legacy?: boolean | undefined;
}

/** The parts of an image. */
export interface ImageOptions {
  readonly base?: BaseImage | undefined;
  /** The Go architecture, for example `amd64`. */
  readonly architecture: string;
  /** From the bottom up: dependencies first. */
  readonly layers: readonly ImageLayer[];
  /** The final `Env`, in order, including that of the base image. */
  readonly env: readonly string[];
  /** Labels of a tagged image; those of the OCI specification are annotations too. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** What a tagged image does when it is run. */
  readonly settings?: ImageSettings | undefined;
  /** The spec, for the image of a single spec; undefined for the image of an environment. */
  readonly spec?: SpecPart | undefined;
  /** Makes the memory for the config, by its size in bytes. */
  readonly allocate?: ((size: number) => Buffer) | undefined;
}

/** A document, ready to be pushed. */
export interface ImageDocument {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
}

/** An image, ready to be pushed: first its layers, then its config, then its manifest. */
export interface BuiltImage {
  readonly family: MediaFamily;
  readonly manifest: ImageDocument;
  readonly config: ImageDocument;
  /** The layers of the base image come first. */
  readonly layers: readonly Descriptor[];
}

/**
 * Builds an image; the same input gives the same bytes. Throws UNSUPPORTED for zstd layers over a base image with
 * Docker media types, because the families never mix.
 */
export function buildImage(options: ImageOptions): BuiltImage {
  const { base, layers, spec, settings, allocate } = options;
  const record = base === undefined ? {} : withBaseRecord(undefined, base);
  const annotations: JsonObject =
    spec === undefined
      ? { ...record, ...standardOnly(options.labels), ...settings?.annotations }
      : { "org.opencontainers.image.description": spec.description };
  const added = layers.map(({ mediaType, digest, size, annotations: own }) => ({
    ...{ mediaType, digest, size },
    ...(own && { annotations: { ...own } }),
  }));
  return assembleImage({ base, config: configObject(options), added, annotations, allocate });
}

/** The parts of a manifest. */
export interface AssembledParts {
  readonly base: BaseImage | undefined;
  readonly config: JsonObject;
  /** The layers above those of the base, of either family; their other keys stay. */
  readonly added: readonly (Descriptor & JsonObject)[];
  /** Left out over a base with Docker's media types, whose manifests have none. */
  readonly annotations: JsonObject;
  /** Makes the memory for the config, by its size in bytes. */
  readonly allocate?: ImageOptions["allocate"];
}

/** Assembles config and manifest, in the media types of the base. Throws as `buildImage` does. */
export function assembleImage(parts: AssembledParts): BuiltImage {
  const { base, config: object, added, annotations, allocate } = parts;
  const family = base?.family ?? "oci";
  const config = documentOf(object, family === "docker" ? DOCKER_CONFIG : OCI_CONFIG, allocate);
  const manifestType = base?.manifestType ?? (family === "docker" ? DOCKER_MANIFEST : OCI_MANIFEST);
  const inFamily = <T extends Pick<Descriptor, "mediaType">>(layer: T): T => ({
    ...layer,
    mediaType: typeIn(family, layer.mediaType),
  });
  const below = (base?.layers ?? []).map(inFamily);
  const above = added.map(inFamily);
  const { descriptor } = config;
  const manifest: JsonObject = {
    mediaType: manifestType,
    schemaVersion: 2,
    config: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size },
    layers: [
      ...(base?.layerObjects ?? []).map((layer, at) => ({ ...layer, mediaType: below[at]?.mediaType ?? "" })),
      ...above,
    ],
    ...(family === "oci" && Object.keys(annotations).length > 0 && { annotations }),
  };
  return { family, manifest: documentOf(manifest, manifestType), config, layers: [...below, ...above] };
}

// A document as it is written.
function documentOf(
  object: JsonObject,
  mediaType: string,
  allocate: (size: number) => Buffer = Buffer.allocUnsafeSlow,
): ImageDocument {
  const text = writeJson(object);
  const bytes = allocate(text.length);
  bytes.write(text, "latin1");
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
}

// Throws UNSUPPORTED if the family has no such type.
function typeIn(family: MediaFamily, mediaType: string): string {
  const type = layerTypeIn(family, mediaType);
  if (type !== undefined) return type;
  throw new StaveError("UNSUPPORTED", `an image with ${family} media types cannot hold a layer of type ${mediaType}`, {
    hint: "use `compression: gzip`, or a base image with OCI media types",
  });
}

const CREATED = "org.opencontainers.image.created";

function standardOnly(labels: Readonly<Record<string, string>> = {}): JsonObject {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => key.startsWith("org.opencontainers.image.")));
}

function configObject({ base, architecture, layers, env, spec, labels, settings: chosen }: ImageOptions): JsonObject {
  const config: JsonObject = base?.config ?? { architecture, os: "linux", rootfs: {}, config: {} };
  const rootfs = objectOr(own(config, "rootfs"), { type: "layers", diff_ids: [] });
  const diffIds = [...(base?.diffIds ?? []), ...layers.map(({ diffId }) => diffId)];
  const settings: JsonObject = { ...objectOr(own(config, "config"), {}), Env: [...env] };
  // The image of a spec is what Spack makes of it.
  const labelled = labels === undefined ? settings : configOf(settings, { labels });
  const recorded = base === undefined || spec !== undefined ? labelled : settingsWithRecord(labelled, base);
  const out: JsonObject = {
    ...config,
    rootfs: { type: "layers", ...rootfs, diff_ids: diffIds },
    config: chosen === undefined ? recorded : configOf(recorded, chosen),
  };
  const history = own(config, "history");
  const before = Array.isArray(history) ? history : [];
  // The history of an environment's image also names the specs of each layer; the image of a spec has a history only if
  // its base has one, as in Spack, or if specs share a layer.
  const isJoined = layers.some(({ label }) => label.includes(" "));
  if (before.length > 0 || spec === undefined || isJoined)
    out["history"] = [...withLayers(before, base?.diffIds.length ?? 0), ...layers.map(historyEntry)];
  const created = labels?.[CREATED];
  if (created !== undefined) out["created"] = created;
  return spec === undefined ? out : { ...out, ...specKeys(spec, layers) };
}

function objectOr(value: JsonValue | undefined, otherwise: JsonObject): JsonObject {
  return isObject(value) ? value : otherwise;
}

/**
 * Pads a history that has fewer entries than the base image has layers: readers match entries and layers by position.
 */
export function withLayers(history: readonly JsonValue[], count: number): JsonValue[] {
  const said = history.filter((entry) => !isObject(entry) || own(entry, "empty_layer") !== true).length;
  const missing = Array.from({ length: Math.max(0, count - said) }, () => ({ comment: "unknown" }));
  return [...history, ...missing];
}

const historyEntry = ({ label, createdBy }: ImageLayer): JsonObject => ({
  created_by: createdBy ?? `spack install ${label}`,
  comment: "stave",
});

/** A spec that the history of an image names. */
export interface SpecInHistory {
  readonly name: string;
  readonly version: string;
  readonly hash: string;
}

/** How the layers of specs differ from those of their images. */
export interface LayerForm {
  /** The rules by which it is slim; undefined if it is whole. */
  readonly slim: string | undefined;
  readonly isLazy: boolean;
}

/** What the history says of a layer with the specs of a label. */
export function specHistory(label: string, { slim, isLazy }: LayerForm): string {
  return `spack install ${label}${slim === undefined ? "" : ` # slim ${slim}`}${isLazy ? " # estargz" : ""}`;
}

const HISTORY = /^spack install (\S.*?)(?: # slim ([0-9a-f]{16}))?( # estargz)?$/;

/** The form of a layer, from its history entry. */
export function formInHistory(createdBy: string | undefined): LayerForm {
  const [, , slim, lazy] = HISTORY.exec(createdBy ?? "") ?? [];
  return { slim, isLazy: lazy !== undefined };
}

/** The specs in a layer, from the layer's history entry; none if it names something else. */
export function specsInHistory(createdBy: string | undefined): SpecInHistory[] {
  const labels = HISTORY.exec(createdBy ?? "")?.[1]?.split(" ") ?? [];
  const specs = labels.flatMap((label) => {
    const [, name, version, hash] = /^([^\s@]{1,500})@(\S{1,500})\/([a-z2-7]{32})$/.exec(label) ?? [];
    return name === undefined || version === undefined || hash === undefined ? [] : [{ name, version, hash }];
  });
  return specs.length === labels.length ? specs : [];
}

function specKeys({ document, legacy = false }: SpecPart, layers: readonly ImageLayer[]): JsonObject {
  const archive = layers.at(-1);
  if (archive === undefined) throw new StaveError("INTERNAL", "the image of a spec has no layer");
  const keys: JsonObject = {
    spec: document,
    buildcache_layout_version: legacy ? 2 : 3,
    binary_cache_checksum: { hash_algorithm: "sha256", hash: hexOf(archive.digest) },
  };
  // Spack 1.2 also writes a timestamp, which nothing reads; without it the same spec gives the same image.
  const compression = archive.mediaType.endsWith("zstd") ? "zstd" : "gzip";
  return legacy ? keys : { ...keys, archive_size: archive.size, archive_compression: compression };
}
