// Manifests, indexes and image configs: schemas, canonical bytes and successors. No I/O.
import * as z from "zod";
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { type Descriptor, descriptorSchema } from "./descriptor.ts";
import { type Digest, type DigestAlgorithm, digestOf, digestSchema } from "./digest.ts";
import { JSON_VALUE_LIMIT, jsonExcess } from "./json-limits.ts";
import { bareMediaType, DOCKER_INDEX, isIndexType, isManifestType, OCI_INDEX, OCI_MANIFEST } from "./mediatype.ts";

const annotations = z.record(z.string(), z.string());

/** An image or artifact manifest; unknown fields are kept. */
export interface Manifest {
  schemaVersion: 2;
  mediaType?: string | undefined;
  artifactType?: string | undefined;
  config: Descriptor;
  layers: Descriptor[];
  subject?: Descriptor | undefined;
  annotations?: Record<string, string> | null | undefined;
  [field: string]: unknown;
}

/** An image index or Docker manifest list; unknown fields are kept. */
export interface Index {
  schemaVersion: 2;
  mediaType?: string | undefined;
  artifactType?: string | undefined;
  manifests: Descriptor[];
  subject?: Descriptor | undefined;
  annotations?: Record<string, string> | null | undefined;
  [field: string]: unknown;
}

/** An image config, as far as stave reads it; unknown fields are kept. */
export interface Config {
  architecture: string;
  os: string;
  variant?: string | undefined;
  created?: string | undefined;
  rootfs: { type: string; diff_ids: Digest[]; [field: string]: unknown };
  config?:
    | {
        Env?: string[] | null | undefined;
        Entrypoint?: string[] | null | undefined;
        Cmd?: string[] | null | undefined;
        User?: string | undefined;
        WorkingDir?: string | undefined;
        Labels?: Record<string, string> | null | undefined;
        [field: string]: unknown;
      }
    | null
    | undefined;
  history?:
    | {
        created?: string | undefined;
        created_by?: string | undefined;
        empty_layer?: boolean | undefined;
        [field: string]: unknown;
      }[]
    | null
    | undefined;
  [field: string]: unknown;
}

/** The schema of an image or artifact manifest. */
export const manifestSchema: z.ZodType<Manifest> = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().max(255).optional(),
  artifactType: z.string().max(255).optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(10_000),
  subject: descriptorSchema.optional(),
  annotations: annotations.nullish(),
});

/** The schema of an image index or manifest list. */
export const indexSchema: z.ZodType<Index> = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().max(255).optional(),
  artifactType: z.string().max(255).optional(),
  manifests: z.array(descriptorSchema).max(100_000),
  subject: descriptorSchema.optional(),
  annotations: annotations.nullish(),
});

/** The schema of an image config: the fields that stave reads; all others are kept. */
export const configSchema: z.ZodType<Config> = z.looseObject({
  architecture: z.string().max(64),
  os: z.string().max(64),
  variant: z.string().max(64).optional(),
  created: z.string().max(64).optional(),
  rootfs: z.looseObject({ type: z.string().max(32), diff_ids: z.array(digestSchema).max(10_000) }),
  config: z
    .looseObject({
      Env: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      User: z.string().optional(),
      WorkingDir: z.string().optional(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  history: z
    .array(
      z.looseObject({
        created: z.string().optional(),
        created_by: z.string().optional(),
        empty_layer: z.boolean().optional(),
      }),
    )
    .max(10_000)
    .nullish(),
});

const probeSchema = z.looseObject({ mediaType: z.string().optional(), schemaVersion: z.number().optional() });

/** A parsed manifest or index. */
export type ManifestDocument =
  | { kind: "manifest"; mediaType: string; value: Manifest }
  | { kind: "index"; mediaType: string; value: Index };

/**
 * Parses JSON bytes against a schema. Throws CONTENT_INVALID, naming the subject and the path inside the document, and
 * TOO_LARGE for more than `values` values.
 */
export function parseBySchema<T>(
  bytes: Uint8Array | string,
  schema: z.ZodType<T>,
  subject: string,
  values: number = JSON_VALUE_LIMIT,
): T {
  return checked(parseJson(bytes, subject, values), schema, subject);
}

function parseJson(bytes: Uint8Array | string, subject: string, values: number): unknown {
  try {
    const text = typeof bytes === "string" ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const excess = jsonExcess(text, values);
    if (excess !== undefined) throw new StaveError("TOO_LARGE", `${subject} has ${excess}`, { subject });
    return JSON.parse(text);
  } catch (cause) {
    if (cause instanceof StaveError) throw cause;
    throw new StaveError("CONTENT_INVALID", `${subject} is not valid JSON: ${printable((cause as Error).message)}`, {
      subject,
      cause,
    });
  }
}

function checked<T>(raw: unknown, schema: z.ZodType<T>, subject: string): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = issue === undefined || issue.path.length === 0 ? "the top level" : issue.path.map(String).join(".");
  throw new StaveError(
    "CONTENT_INVALID",
    `${subject} is invalid at ${path}: ${printable(issue?.message ?? "wrong shape")}`,
    { subject },
  );
}

/**
 * Parses the bytes of a manifest or index. The `Content-Type` of the response decides, then the document's own media
 * type; a document that contradicts itself is refused (OCI image-spec 1.1, "mediaType" confusion). Throws
 * CONTENT_INVALID or MEDIA_TYPE.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined, subject: string): ManifestDocument {
  const raw = parseJson(bytes, subject, JSON_VALUE_LIMIT);
  const probe = checked(raw, probeSchema, subject);
  const given = contentType === undefined ? "" : bareMediaType(contentType);
  const known = isManifestType(given) || isIndexType(given);
  const mediaType = known ? given : (probe.mediaType ?? guessMediaType(probe));
  if (known && probe.mediaType !== undefined && bareMediaType(probe.mediaType) !== given)
    throw new StaveError(
      "MEDIA_TYPE",
      `${subject} was sent as ${given} but claims to be ${printable(probe.mediaType)}`,
      {
        subject,
      },
    );
  if (isIndexType(mediaType)) {
    if ("layers" in probe || "config" in probe)
      throw new StaveError("CONTENT_INVALID", `${subject} is an index with layers or a config`, { subject });
    return { kind: "index", mediaType, value: checked(raw, indexSchema, subject) };
  }
  if (isManifestType(mediaType)) {
    if ("manifests" in probe)
      throw new StaveError("CONTENT_INVALID", `${subject} is an image with a list of manifests`, { subject });
    return { kind: "manifest", mediaType, value: checked(raw, manifestSchema, subject) };
  }
  throw new StaveError(
    "MEDIA_TYPE",
    `${subject} has media type ${JSON.stringify(printable(mediaType || given || "(none)"))}: expected an OCI or Docker v2 manifest or index`,
    { subject },
  );
}

function guessMediaType(document: Record<string, unknown>): string {
  if (Array.isArray(document["manifests"])) return OCI_INDEX;
  if (Array.isArray(document["layers"])) return OCI_MANIFEST;
  return "";
}

/** The bytes of a document as stave writes it: compact JSON in key order. */
export function canonicalBytes(document: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document));
}

/** The descriptor of a document. */
export function describe(bytes: Uint8Array, mediaType: string, algorithm?: DigestAlgorithm): Descriptor {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.byteLength };
}

/** What a manifest or index refers to, in order: config and layers, or child manifests. The subject is not included. */
export function successors(document: ManifestDocument): Descriptor[] {
  return document.kind === "index" ? document.value.manifests : [document.value.config, ...document.value.layers];
}

/** False if the JSON text of a document cannot have the key `subject`, which may be written with escapes. */
export function mayHaveSubject(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return text.includes('"subject"') || text.includes("\\u");
}

/** An empty index in the given media type family. */
export function emptyIndex(family: "oci" | "docker" = "oci"): Index {
  return { schemaVersion: 2, mediaType: family === "oci" ? OCI_INDEX : DOCKER_INDEX, manifests: [] };
}
