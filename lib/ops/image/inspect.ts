// `inspect`: describes an image, artifact or index.
import * as z from "zod";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Config, configSchema, parseBySchema } from "../../oci/manifest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { imageName } from "../../oci/reference.ts";
import { fetchPlatform, parseFetched } from "../../target/choose-platform.ts";
import { CONFIG_LIMIT, fetchConfig } from "../../target/image-config.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";

/** One layer; the size is the compressed size in bytes. */
export interface LayerReport {
  digest: Digest;
  size: number;
  mediaType: string;
  /** The digest of the uncompressed layer; undefined for artifacts. */
  diffID: Digest | undefined;
}

/** An entry of an index, or a referrer. */
export interface EntryReport {
  digest: Digest;
  size: number;
  mediaType: string;
  platform: string | undefined;
  artifactType: string | undefined;
}

/** The spec inside the config of a Spack image. */
export interface ImageSpecReport {
  name: string;
  version: string;
  hash: string;
  architecture: string;
  /** How many nodes its DAG has. */
  nodes: number;
  layoutVersion: number | undefined;
}

/** The report of `inspect`. */
export interface InspectReport {
  name: string;
  kind: "image" | "artifact" | "index";
  descriptor: Descriptor;
  platform: string | undefined;
  artifactType: string | undefined;
  annotations: Record<string, string>;
  /** The total size in bytes: layers and config, or the entries of an index. */
  totalSize: number;
  configDescriptor: Descriptor | undefined;
  config: Config | undefined;
  layers: LayerReport[];
  manifests: EntryReport[];
  referrers: EntryReport[];
  spec: ImageSpecReport | undefined;
}

// Spack puts the whole spec into the config of each spec's image (Spack `oci/oci.py`); only its head is read here.
const spackConfigSchema = z.looseObject({
  spec: z.looseObject({
    nodes: z
      .array(
        z.looseObject({
          name: z.string(),
          version: z.string().default(""),
          hash: z.string(),
          arch: z
            .looseObject({
              platform: z.string(),
              platform_os: z.string(),
              target: z.union([z.string(), z.looseObject({ name: z.string() }).transform((target) => target.name)]),
            })
            .optional(),
        }),
      )
      .min(1),
  }),
  buildcache_layout_version: z.number().optional(),
});

/** Reads what a tag or digest refers to; for an index, the image of `platform` if given and present. */
export async function inspect(
  target: ReadTarget,
  reference: string,
  options: OperationOptions & { platform?: Platform | undefined } = {},
): Promise<InspectReport> {
  const { platform, signal } = options;
  const fetched = await fetchPlatform(target, reference, platform, { signal });
  const document = parseFetched(fetched, target.name);
  const { descriptor } = fetched;
  const referrers = await target.referrers(descriptor.digest, { signal });
  const base = {
    name: imageName(target.name, reference),
    descriptor,
    artifactType: document.value.artifactType,
    annotations: document.value.annotations ?? {},
    referrers: referrers.map(entryReport),
  };
  if (document.kind === "index") {
    const { manifests } = document.value;
    const nothing = {
      platform: undefined,
      configDescriptor: undefined,
      config: undefined,
      spec: undefined,
      layers: [],
    };
    return { ...base, ...nothing, kind: "index", totalSize: sizeOf(manifests), manifests: manifests.map(entryReport) };
  }
  const { config: configDescriptor, layers } = document.value;
  const text = await readConfig(target, configDescriptor, signal);
  const config = parseConfig(text, configDescriptor);
  return {
    ...base,
    kind: config ? "image" : "artifact",
    platform: config ? formatPlatform(config) : undefined,
    totalSize: sizeOf([configDescriptor, ...layers]),
    configDescriptor,
    config,
    layers: layers.map(({ digest, size, mediaType }, at) => {
      return { digest, size, mediaType, diffID: config?.rootfs.diff_ids[at] };
    }),
    manifests: [],
    spec: config ? specOf(config) : undefined,
  };
}

function sizeOf(descriptors: Descriptor[]): number {
  return descriptors.reduce((sum, descriptor) => sum + descriptor.size, 0);
}

function entryReport({ digest, size, mediaType, platform, artifactType }: Descriptor): EntryReport {
  return { digest, size, mediaType, platform: platform ? formatPlatform(platform) : undefined, artifactType };
}

async function readConfig(target: ReadTarget, config: Descriptor, signal: AbortSignal | undefined): Promise<string> {
  if (config.size > CONFIG_LIMIT) return "";
  return (await fetchConfig(target, config, { signal })).toString("utf8");
}

/** The config of an image; undefined for an artifact, whose config may be anything. */
function parseConfig(text: string, { mediaType, digest }: Descriptor): Config | undefined {
  if (!/image.*config|container\.image\.v1/.test(mediaType)) return undefined;
  // The config of Spack's cache index is `{}` with an image's media type; treat it as an artifact.
  return text.trim() === "{}" ? undefined : parseBySchema(text, configSchema, `config ${digest}`);
}

function specOf(config: Config): ImageSpecReport | undefined {
  const parsed = spackConfigSchema.safeParse(config);
  const root = parsed.data?.spec.nodes[0];
  if (!parsed.success || root === undefined) return undefined;
  const { name, version, hash, arch } = root;
  return {
    name,
    version,
    hash,
    architecture: arch ? `${arch.platform}-${arch.platform_os}-${arch.target}` : "",
    nodes: parsed.data.spec.nodes.length,
    layoutVersion: parsed.data.buildcache_layout_version,
  };
}
