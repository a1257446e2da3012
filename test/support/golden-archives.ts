// Archives pushed by real Spack, unpacked and relocated.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { UnpackSync } from "tar";
import { z } from "zod";
import { readBuildInfo } from "../../lib/relocate/build-info.ts";
import { prefixMapFor } from "../../lib/relocate/prefixes.ts";
import { type RelocateOptions, type RelocationReport, relocateTree } from "../../lib/relocate/relocate.ts";
import type { SpecNode } from "../../lib/spack/node.ts";
import { readSpecFile } from "../../lib/spack/spec.ts";
import { golden } from "./golden.ts";
import { goldenImages } from "./golden-store.ts";
import { temporaryFolder } from "./tree.ts";

const manifestSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });

/** An archive of the cache, unpacked. */
export interface Unpacked {
  node: SpecNode;
  /** Where the prefix is on disk. */
  directory: string;
  /** The prefix below the root, as the archive has it. */
  relative: string;
}

/** Unpacks every archive of a layout, each into a folder of its own. */
export function* archives(layout: string): Iterable<Unpacked> {
  for (const [tag, { manifest }] of goldenImages(layout)) {
    if (!tag.endsWith(".spack") || tag === "index.spack") continue;
    const { layers } = manifestSchema.parse(JSON.parse(manifest));
    const blob = layers.at(-1)?.digest.replace(":", "/") ?? "";
    const folder = temporaryFolder();
    new UnpackSync({ cwd: folder, preservePaths: true }).end(
      gunzipSync(readFileSync(golden(`${layout}/blobs/${blob}`))),
    );
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((name) =>
      name.endsWith(".spack/binary_distribution"),
    );
    const directory = join(folder, found ?? "", "../..");
    const { root } = readSpecFile(readFileSync(join(directory, ".spack/spec.json")), tag);
    yield { node: root, directory, relative: join("linux-x86_64", directory.split("/").at(-1) ?? "") };
  }
}

/** Relocates an unpacked archive to where the default layout puts it below a root. */
export async function relocate(
  { node, directory }: Unpacked,
  root: string,
  more: Partial<RelocateOptions> = {},
): Promise<RelocationReport> {
  const info = await readBuildInfo(`${directory}/.spack/binary_distribution`);
  const prefixOf = (other: SpecNode): string => {
    const old = info.prefixes.get(other.hash) ?? "";
    return `${root}${old.slice(info.root.length)}`;
  };
  const map = prefixMapFor(info, node, { root, prefixOf });
  return await relocateTree(directory, { map, files: info.files, ...more });
}
