// What an installation is told.

import type { Permissions } from "../../relocate/unpack/tree-writer.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { StoreLocks } from "../../store/locks.ts";
import type { ProgressSink } from "../../util/progress.ts";
import type { Clock } from "../../util/time.ts";
import type { InstalledSpec } from "./report.ts";
import type { InstallSource } from "./source.ts";

/** The machine that is installed on, as far as specs must fit it. */
export interface HostArchitecture {
  readonly platform: string;
  readonly os?: string | undefined;
  /** The microarchitecture; undefined when the machine does not tell. */
  readonly target?: string | undefined;
}

export interface InstallOptions {
  readonly store: Store;
  readonly source: InstallSource;
  readonly roots: readonly { readonly node: SpecNode; readonly graph: SpecGraph }[];
  readonly only: "package" | "dependencies" | "all";
  /** Also what is needed for building only. */
  readonly withBuildDependencies: boolean;
  /** Replace what is installed. */
  readonly force: boolean;
  /** Fail when files still name the old root. */
  readonly strict: boolean;
  /** Change what files hold of old prefixes even where Spack leaves them alone. */
  readonly allFiles: boolean;
  /** What specs must fit; undefined takes any. */
  readonly host: HostArchitecture | undefined;
  /** The modes of what is installed, by package name. */
  permissionsOf(name: string): Permissions;
  /** Where `patchelf` is. */
  readonly patchelf: string | undefined;
  readonly locks: StoreLocks;
  /** How many specs are worked on at once. */
  readonly jobs: number;
  readonly clock: Clock;
  readonly progress?: ProgressSink | undefined;
  /** Told of each spec as soon as it is done. */
  readonly onSpec?: ((spec: InstalledSpec) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}
