// Writes the files that Spack itself writes into the `.spack` folder of an installed prefix, except the file list
// (Spack `directory_layout.py`, write_spec; `util/timer.py`).

import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import { writeSpecFile } from "../../spack/spec/spec-writer.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import { writeJson } from "../../spack/text/json.ts";
import { HeldTree } from "../../util/held-tree.ts";

/** A phase of an installation, with its duration. */
export interface InstallPhase {
  /** Nested as `install/extract`. */
  readonly path: string;
  readonly seconds: number;
}

/**
 * Writes `spec.json`, by which a database recognises the prefix. Throws FILE_SYSTEM, and ARCHIVE_UNSAFE as HeldTree
 * does.
 */
export function writeInstalledSpec(directory: string, node: SpecNode, graph: SpecGraph): void {
  write(directory, "spec.json", writeSpecFile(node, graph));
}

/** Writes `install_times.json`, as after an installation from a build cache. Throws as writeInstalledSpec does. */
export function writeInstallTimes(
  directory: string,
  node: Pick<SpecNode, "hash" | "name">,
  phases: readonly InstallPhase[],
): void {
  const outer = phases.filter(({ path }) => !path.includes("/"));
  const document = {
    total: outer.reduce((sum, { seconds }) => sum + seconds, 0),
    phases: phases.map(({ path, seconds }) => ({ name: path.split("/").at(-1) ?? path, path, seconds, count: 1 })),
    name: node.name,
    cache: true,
    hash: node.hash,
  };
  write(directory, "install_times.json", writeJson(document));
}

function write(directory: string, name: string, text: string): void {
  using tree = new HeldTree(directory);
  tree.makeFolder(METADATA_FOLDER);
  tree.write(`${METADATA_FOLDER}/${name}`, text);
}
