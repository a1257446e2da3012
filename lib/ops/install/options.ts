// The options of an installation, and their defaults.
import { availableParallelism } from "node:os";
import { DEFAULT_PERMISSIONS, type Permissions } from "../../relocate/unpack/tree-writer.ts";
import type { HostArchitecture } from "../../spack/spec/fits-host.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { StoreLocks } from "../../store/locks.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { type Clock, systemClock } from "../../util/time.ts";
import { type Filled, withDefaults } from "../../util/with-defaults.ts";
import type { InstalledSpec } from "./report.ts";
import type { InstallSource } from "./source.ts";

/** What a user of an installation may choose, in the library as here. */
export interface InstallChoices {
  readonly only?: "package" | "dependencies" | "all" | undefined;
  /** Also install build-only dependencies. */
  readonly withBuildDependencies?: boolean | undefined;
  /** Replace what is installed. */
  readonly force?: boolean | undefined;
  /** Fail if files still contain the old root. */
  readonly strict?: boolean | undefined;
  /** Also relocate old prefixes in places that Spack leaves unchanged. */
  readonly allFiles?: boolean | undefined;
  /** How many specs to install at once. */
  readonly jobs?: number | undefined;
  /** Called with each spec as soon as it is done; must not throw. */
  readonly onSpec?: ((spec: InstalledSpec) => void) | undefined;
}

/** The options of an installation; all but the first three have a default. */
export interface InstallOptions extends InstallChoices {
  readonly store: Store;
  readonly source: InstallSource;
  readonly roots: readonly { readonly node: SpecNode; readonly graph: SpecGraph }[];
  /** The machine that specs must fit; undefined accepts any. */
  readonly host?: HostArchitecture | undefined;
  /** The permissions of what is installed, by package name. Default: Spack's, readable for all. */
  readonly permissionsOf?: ((name: string) => Permissions) | undefined;
  /** The path of `patchelf`. */
  readonly patchelf?: string | undefined;
  /** Record the roots as asked for, so that Spack's `gc` keeps them. */
  readonly isExplicit?: boolean | undefined;
  /** The locks of the store. Default: as Spack takes them, released at the end. */
  readonly locks?: StoreLocks | undefined;
  readonly clock?: Clock | undefined;
  readonly progress?: ProgressSink | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The default of each option, for the library and the command line. */
export const INSTALL_DEFAULTS = {
  only: "all",
  withBuildDependencies: false,
  force: false,
  strict: false,
  allFiles: false,
  isExplicit: true,
  permissionsOf: (): Permissions => DEFAULT_PERMISSIONS,
  // More than one, because a spec that waits for the network leaves the processor idle.
  jobs: Math.max(2, availableParallelism()),
  clock: systemClock,
} as const satisfies Partial<InstallOptions>;

/** The options of an installation with every default filled in. */
export type InstallSettings = Filled<InstallOptions, keyof typeof INSTALL_DEFAULTS | "locks">;

/** The options of a plan, which writes nothing and therefore takes no locks. */
export type InstallPlanSettings = Filled<InstallOptions, keyof typeof INSTALL_DEFAULTS>;

/** Fills in the defaults. */
export function installSettings(options: InstallOptions): InstallPlanSettings {
  return withDefaults(options, INSTALL_DEFAULTS);
}
