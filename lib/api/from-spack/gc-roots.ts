// What keeps installed specs from being removed: recent runs, environments, running programs.
import type { GcOptions } from "../../ops/store/gc.ts";
import { environmentRoots } from "../../ops/store/named-environments.ts";
import { RunMemory } from "../../ops/store/run-memory.ts";
import type { Store } from "../../spack/store/store.ts";
import { underSysroot } from "../../util/sysroot.ts";
import { ownDiskCache } from "../machine/cache-folder.ts";
import { foldersInUse } from "../machine/running-programs.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { SpackFiles } from "./spack-files.ts";

/** Which roots count. */
export interface GcChoices {
  readonly files: SpackFiles;
  readonly around: Surroundings;
  /** What was used by runs within this time stays; in milliseconds. */
  readonly runs: number;
  /** What was installed within this time stays; in milliseconds. */
  readonly grace: number;
  readonly sysroot: string | undefined;
  readonly keepsBuildDependencies: boolean;
}

/** The options of a garbage collection of a store, with all that keeps specs. */
export async function gcOptions(store: Store, choices: GcChoices): Promise<GcOptions> {
  const { files, around, runs, grace, sysroot, keepsBuildDependencies } = choices;
  const now = around.clock.now();
  const recent = RunMemory.recent(ownDiskCache(around), now - runs);
  const { environmentsRoot, environment } = files.discovery;
  return {
    store,
    roots: {
      runs: new Set(recent.flatMap(({ specs }) => specs)),
      environments: await environmentRoots(environmentsRoot, environment?.folder),
      inUse: inUse(store, sysroot),
    },
    grace,
    now,
    keepsBuildDependencies,
  };
}

/** The specs in whose prefixes running programs have files open. */
function inUse(store: Store, sysroot: string | undefined): Set<string> {
  const owners = new Map<string, string>();
  for (const { node, path, installed } of store.records())
    if (path !== null && installed && node.external === undefined) owners.set(underSysroot(sysroot, path), node.hash);
  const used = foldersInUse(underSysroot(sysroot, store.root), owners.keys());
  return new Set([...used].flatMap((folder) => owners.get(folder) ?? []));
}
