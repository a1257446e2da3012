// Unpacks and relocates archives pushed by real Spack.
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBuildInfo } from "../../lib/relocate/prefix/build-info-reader.ts";
import { prefixMapFor } from "../../lib/relocate/prefix/new-prefixes.ts";
import { type RelocateOptions, type RelocationReport, relocateTree } from "../../lib/relocate/tree/relocate-tree.ts";
import { unpackArchive } from "../../lib/relocate/unpack/unpack.ts";
import type { SpecNode } from "../../lib/spack/spec/node.ts";
import { readSpecFile } from "../../lib/spack/spec/spec-file.ts";
import { golden } from "./golden.ts";
import { goldenImages, lastDiffId } from "./golden-store.ts";
import { temporaryFolder } from "./tree.ts";

const manifestSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });

/** The archive in an image of a spec. */
export interface GoldenLayer {
  tag: string;
  digest: string;
  diffId: string;
}

/** The archives of a layout. */
export function* goldenLayers(layout: string): Iterable<GoldenLayer> {
  for (const [tag, { manifest, config }] of goldenImages(layout)) {
    if (!tag.endsWith(".spack") || tag === "index.spack") continue;
    const { layers } = manifestSchema.parse(JSON.parse(manifest));
    yield { tag, digest: layers.at(-1)?.digest ?? "", diffId: lastDiffId(config) ?? "" };
  }
}

/** An archive of the cache, unpacked. */
export interface Unpacked {
  node: SpecNode;
  /** The directory of the prefix. */
  directory: string;
  /** The prefix relative to the root, as in the archive. */
  relative: string;
}

/** Unpacks every archive of a layout, each into a folder of its own. */
export async function* archives(layout: string): AsyncIterable<Unpacked> {
  for (const { tag, digest } of goldenLayers(layout)) {
    const blob = createReadStream(golden(`${layout}/blobs/${digest.replace(":", "/")}`));
    const { directory, prefix } = await unpackArchive(blob, temporaryFolder(), { compression: "gzip" });
    const { root } = readSpecFile(readFileSync(join(directory, ".spack/spec.json")), tag);
    yield { node: root, directory, relative: prefix.split("/").slice(-2).join("/") };
  }
}

/** Relocates an unpacked archive to its place in the default layout below a root. */
export async function relocate(
  { node, directory }: Unpacked,
  root: string,
  more: Partial<RelocateOptions> = {},
): Promise<RelocationReport> {
  const info = readBuildInfo(directory);
  const prefixOf = (other: SpecNode): string => {
    const old = info.prefixes.get(other.hash) ?? "";
    return `${root}${old.slice(info.root.length)}`;
  };
  const map = prefixMapFor(info, node, { root, prefixOf });
  return await relocateTree(directory, { map, files: info.files, ...more });
}
