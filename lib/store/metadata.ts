// What Spack itself writes into the `.spack` folder of an installed prefix, beside the list of its files (Spack
// `directory_layout.py`, write_spec; `util/timer.py`).
import { writeFile } from "node:fs/promises";
import { fileError } from "../errors.ts";
import { writeJson } from "../spack/json.ts";
import type { SpecGraph, SpecNode } from "../spack/node.ts";
import { METADATA_FOLDER } from "../spack/prefix.ts";
import { writeSpecFile } from "../spack/spec-writer.ts";
import { makeFolder } from "../util/folder.ts";

/** A part of an installation and how long it took. */
export interface InstallPhase {
  /** Nested as `install/extract`. */
  readonly path: string;
  readonly seconds: number;
}

/** Writes `spec.json`: what a database accepts the prefix by. Throws FILE_SYSTEM. */
export async function writeInstalledSpec(directory: string, node: SpecNode, graph: SpecGraph): Promise<void> {
  await write(directory, "spec.json", writeSpecFile(node, graph));
}

/** Writes `install_times.json`, as after an installation from a build cache. Throws FILE_SYSTEM. */
export async function writeInstallTimes(
  directory: string,
  node: SpecNode,
  phases: readonly InstallPhase[],
): Promise<void> {
  const outer = phases.filter(({ path }) => !path.includes("/"));
  const document = {
    total: outer.reduce((sum, { seconds }) => sum + seconds, 0),
    phases: phases.map(({ path, seconds }) => ({ name: path.split("/").at(-1) ?? path, path, seconds, count: 1 })),
    name: node.name,
    cache: true,
    hash: node.hash,
  };
  await write(directory, "install_times.json", writeJson(document));
}

async function write(directory: string, name: string, text: string): Promise<void> {
  const folder = `${directory}/${METADATA_FOLDER}`;
  try {
    makeFolder(folder);
    await writeFile(`${folder}/${name}`, text);
  } catch (cause) {
    throw fileError(cause, "write", `${folder}/${name}`);
  }
}
