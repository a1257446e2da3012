// Reads the tagged image of an environment in a cache; its history says which specs are in which layer.
import { formInHistory, specsInHistory } from "../../image/image-documents.ts";
import type { TaggedLayer } from "../../image/layer-plan.ts";
import type { Digest } from "../../oci/digest.ts";
import { configSchema, parseBySchema } from "../../oci/manifest.ts";
import { imageName } from "../../oci/reference.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import { fetchImageConfig } from "./image-facts.ts";

/** A tagged image in a cache. */
export interface EnvironmentImage {
  readonly digest: Digest;
  /** The layers of specs, from the bottom up; empty if the history does not say. */
  readonly layers: readonly TaggedLayer[];
}

/**
 * Reads a tagged image. Throws what the target throws, MEDIA_TYPE for an artifact, and CONTENT_INVALID if it is
 * damaged.
 */
export async function readEnvironmentImage(
  target: ReadTarget,
  tag: string,
  options: OperationOptions = {},
): Promise<EnvironmentImage> {
  const fetched = await target.fetchManifest(tag, options);
  const { digest } = fetched.descriptor;
  const document = parseFetched(fetched, target.name);
  const layers: TaggedLayer[] = [];
  if (document.kind === "index") return { digest, layers };
  const { config, layers: blobs } = document.value;
  const name = imageName(target.name, tag);
  const bytes = await fetchImageConfig(target, config, name, options);
  const { history, rootfs } = parseBySchema(bytes, configSchema, `the config of ${name}`);
  const entries = (history ?? []).filter((entry) => entry.empty_layer !== true);
  // Entries are matched to layers by position, which works only if there are equally many.
  if (entries.length !== blobs.length || rootfs.diff_ids.length !== blobs.length) return { digest, layers };
  for (const [at, blob] of blobs.entries()) {
    const specs = specsInHistory(entries[at]?.created_by);
    const hashes = specs.map(({ hash }) => hash);
    const diffId = rootfs.diff_ids[at];
    if (hashes.length === 0 || diffId === undefined) continue;
    const { mediaType, digest: layer, size } = blob;
    const label = specs.map(({ name, version, hash }) => `${name}@${version}/${hash}`).join(" ");
    const form = formInHistory(entries[at]?.created_by);
    layers.push({ hashes, layer: { mediaType, digest: layer, size, diffId, label }, ...form });
  }
  return { digest, layers };
}
