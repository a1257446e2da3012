// Creates a build cache of any size in a layout directory for benchmarks: as many tags as specs, an index that lacks
// the newest of them, and the images of those, or of all. All have the same archive of a few bytes.
// usage: tsx scripts/make-cache.ts DIR SPECS [NEW] [all [STACK]]
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { indexText } from "../lib/cache/index-write.ts";
import { OciCache } from "../lib/cache/oci-cache.ts";
import { recordOfNode } from "../lib/cache/record.ts";
import { buildImage } from "../lib/image/image-documents.ts";
import type { Descriptor } from "../lib/oci/descriptor.ts";
import { digestOf, hexOf } from "../lib/oci/digest.ts";
import { OCI_LAYER_GZIP, OCI_MANIFEST } from "../lib/oci/mediatype.ts";
import type { SpecGraph, SpecNode } from "../lib/spack/spec/node.ts";
import { specString, specTag } from "../lib/spack/spec/spec-name.ts";
import { specDocument } from "../lib/spack/spec/spec-writer.ts";
import { readDatabase } from "../lib/spack/store/database.ts";
import { LayoutTarget } from "../lib/target/layout/layout.ts";
import { systemClock } from "../lib/util/time.ts";
import { isMain } from "./is-main.ts";
import { makeDatabase } from "./make-database.ts";

export interface CacheOptions {
  specs: number;
  /** How many specs the index lacks. */
  missing: number;
  /** Write the images of all specs, not only of those that are missing. */
  allImages: boolean;
  /**
   * The number of specs per stack of dependencies, which bounds the size of images: each contains all dependencies of
   * its spec.
   */
  stack?: number;
  seed: number;
}

const ARCHIVE = Buffer.from("an archive");

/** Writes the cache into a new folder, and returns the tags that the index lacks. */
export async function writeCacheFolder(folder: string, options: CacheOptions): Promise<string[]> {
  const { specs, missing, allImages, stack, seed } = options;
  const text = makeDatabase({ installs: specs + 20, seed, root: "/opt/store", ...(stack && { stack }) });
  const { graph } = readDatabase({ name: "made", bytes: Buffer.from(text, "latin1") });
  const nodes = [...graph.nodes()].filter((node) => node.external === undefined).slice(0, specs);
  mkdirSync(join(folder, "blobs/sha256"), { recursive: true });
  const write = (bytes: Uint8Array): void => writeFileSync(join(folder, "blobs/sha256", hexOf(digestOf(bytes))), bytes);
  write(ARCHIVE);
  const fresh = nodes.slice(nodes.length - missing);
  const withImage = new Set(allImages ? nodes : fresh);
  const entries = nodes.map((node): Descriptor => {
    const annotations = { "org.opencontainers.image.ref.name": specTag(node) };
    const nothing = { mediaType: OCI_MANIFEST, digest: digestOf(node.hash), size: 1000, annotations };
    return withImage.has(node) ? { ...imageOf(node, graph, write), annotations } : nothing;
  });
  writeFileSync(
    join(folder, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: entries }),
  );
  writeFileSync(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const records = new Map(Array.from(graph.nodes(), (node) => [node.hash, recordOfNode(node)]));
  const indexed = nodes.slice(0, nodes.length - missing).map((node) => node.hash);
  const target = await LayoutTarget.open(folder, { clock: systemClock });
  await new OciCache(target).writeIndex(indexText((hash) => records.get(hash), indexed));
  await target.close();
  return fresh.map(specTag);
}

function imageOf(node: SpecNode, graph: SpecGraph, write: (bytes: Uint8Array) => void): Descriptor {
  const layer = { mediaType: OCI_LAYER_GZIP, digest: digestOf(ARCHIVE), size: ARCHIVE.length };
  const spec = { document: specDocument(node, graph), description: specString(node) };
  const layers = [{ ...layer, diffId: layer.digest, label: node.name }];
  const { config, manifest } = buildImage({ architecture: "amd64", layers, env: [], spec });
  for (const part of [config.bytes, manifest.bytes]) write(part);
  return manifest.descriptor;
}

if (isMain(import.meta)) {
  const [folder, specs = "1000", missing = "10", all, stack] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: tsx scripts/make-cache.ts DIR SPECS [NEW] [all [STACK]]");
  const options = { specs: Number(specs), missing: Number(missing), allImages: all === "all", seed: 1 };
  await writeCacheFolder(folder, { ...options, ...(stack && { stack: Number(stack) }) });
}
