// The tagged image of an environment as it lies in a cache: which of its layers is which spec, as its history tells.
import type { ImageLayer } from "../../image/image-documents.ts";
import { hashInHistory } from "../../image/image-documents.ts";
import type { Digest } from "../../oci/digest.ts";
import { configSchema, parseBySchema } from "../../oci/manifest.ts";
import { imageName } from "../../oci/reference.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";

/** A tagged image that is there. */
export interface EnvironmentImage {
  readonly digest: Digest;
  /** By DAG hash; empty when the image does not tell. */
  readonly layers: ReadonlyMap<string, ImageLayer>;
}

/** Reads a tagged image. Throws as the target does, and CONTENT_INVALID for a damaged one. */
export async function readEnvironmentImage(
  target: ReadTarget,
  tag: string,
  options: OperationOptions = {},
): Promise<EnvironmentImage> {
  const fetched = await target.fetchManifest(tag, options);
  const { digest } = fetched.descriptor;
  const document = parseFetched(fetched, target.name);
  const layers = new Map<string, ImageLayer>();
  if (document.kind === "index") return { digest, layers };
  const { config, layers: blobs } = document.value;
  const bytes = await fetchConfig(target, config, options);
  const { history, rootfs } = parseBySchema(bytes, configSchema, `the config of ${imageName(target.name, tag)}`);
  const entries = (history ?? []).filter((entry) => entry.empty_layer !== true);
  // Entries and layers are matched by position, which means nothing unless there are as many of each.
  if (entries.length !== blobs.length || rootfs.diff_ids.length !== blobs.length) return { digest, layers };
  for (const [at, blob] of blobs.entries()) {
    const hash = hashInHistory(entries[at]?.created_by);
    const diffId = rootfs.diff_ids[at];
    if (hash === undefined || diffId === undefined) continue;
    const { mediaType, digest: layer, size } = blob;
    const label = (entries[at]?.created_by ?? "").slice("spack install ".length);
    layers.set(hash, { mediaType, digest: layer, size, diffId, label });
  }
  return { digest, layers };
}
