// `install` and `planInstall`: install specs from build caches into a Spack store.

import { install as installAll, planInstall as planAll } from "../../ops/install/install.ts";
import type { InstallOptions as InstallAllOptions, InstallChoices } from "../../ops/install/options.ts";
import type { InstallPlanReport, InstallReport } from "../../ops/install/report.ts";
import { openInstallation } from "../from-spack/open-installation.ts";
import { checkCache, checkOptions, type Shape } from "./check-options.ts";
import { COMMON, type CommonOptions } from "./common.ts";
import { type CacheArgument, openingOf, openToRead, SPACK, type SpackOptions } from "./open-cache.ts";

/** The options of an installation. */
export interface InstallOptions extends CommonOptions, SpackOptions, InstallChoices {
  /** Specs of the caches: queries, or `/hash`. Default: the roots of the environment's lock file. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
  /** Accept specs without checking their signatures. Otherwise mirrors are checked as Spack does. */
  readonly unsigned?: boolean | undefined;
  /** Allow a query to match several specs, and install all of them. */
  readonly multiple?: boolean | undefined;
  /** Also accept specs for other platforms, operating systems and processors. */
  readonly anyArchitecture?: boolean | undefined;
  /** The database version of a new store. Default: that of the Spack in use. */
  readonly databaseVersion?: "7" | "8" | undefined;
}

const SHAPE: Shape<InstallOptions> = {
  ...{
    ...COMMON,
    ...SPACK,
    specs: "strings",
    store: "string",
    multiple: "boolean",
    unsigned: "boolean",
    databaseVersion: ["7", "8"],
  },
  ...{ only: ["all", "package", "dependencies"], withBuildDependencies: "boolean", force: "boolean" },
  ...{ strict: "boolean", allFiles: "boolean", anyArchitecture: "boolean", jobs: "count", onSpec: "function" },
};

/** One cache, or several in order of preference. */
type Caches = CacheArgument | readonly CacheArgument[];

/**
 * Installs specs from build caches, in order of preference. Failures are in `failures` of the report. Throws what stops
 * the whole installation.
 */
export async function install(caches?: Caches, options: InstallOptions = {}): Promise<InstallReport> {
  return await withInstallation("install", caches, options, installAll);
}

/** Reports what `install` would do with the same arguments; writes nothing. */
export async function planInstall(caches?: Caches, options: InstallOptions = {}): Promise<InstallPlanReport> {
  return await withInstallation("planInstall", caches, options, planAll);
}

async function withInstallation<T>(
  name: string,
  caches: Caches | undefined,
  options: InstallOptions,
  work: (all: InstallAllOptions) => Promise<T>,
): Promise<T> {
  if (caches !== undefined) for (const cache of [caches].flat()) checkCache(`${name}: the cache`, cache);
  checkOptions(name, options, SHAPE);
  options.signal?.throwIfAborted();
  const opening = openingOf(options, options.store);
  const { around } = opening;
  const files = opening.files();
  const { specs = [], multiple: isMany, onProgress: progress } = options;
  await using opened = await openToRead(caches, {
    ...opening,
    options: { ...options, verifies: options.unsigned !== true },
  });
  await using installation = await openInstallation({
    files,
    around,
    caches: opened.caches,
    words: specs,
    isMany,
    anyArchitecture: options.anyArchitecture,
    databaseVersion: options.databaseVersion,
    onNote: (text) => progress?.({ type: "note", text }),
    onWarning: (text) => progress?.({ type: "warning", text }),
  });
  const { only, withBuildDependencies, force, strict, allFiles, jobs, onSpec } = options;
  const chosen = { only, withBuildDependencies, force, strict, allFiles, jobs, onSpec };
  return await work({ ...installation.options, ...chosen, progress });
}
