// `writeModules`: writes modulefiles of installed specs.
import { resolve } from "node:path";
import type { ModuleKind } from "../../ops/store/modulefile.ts";
import { type ModuleReport, writeModules as writeAll } from "../../ops/store/modules.ts";
import { installedRoots } from "../from-spack/spack-specs.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, surroundingsOf } from "./common.ts";
import { SPACK, type SpackOptions, spackFiles } from "./open-cache.ts";

/** Which modulefiles to write. */
export interface WriteModulesOptions extends SpackOptions, Pick<CommonOptions, "signal" | "surroundings"> {
  /** The specs that get modulefiles: queries, or `/hash`. Default: the roots of the environment. */
  readonly specs?: readonly string[] | undefined;
  /** The root of the store. Default: `$STAVE_STORE`, otherwise from Spack's configuration. */
  readonly store?: string | undefined;
  /** Also write those of link and run dependencies, which the others load. Default: true. */
  readonly dependencies?: boolean | undefined;
  /** Replace files of other content. */
  readonly force?: boolean | undefined;
  /** Report what would be written, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Writes modulefiles for Environment Modules or Lmod into a folder, as `stave module` does. A file of other content
 * stays, and is in the report. Throws SPEC_NOT_INSTALLED, FILE_SYSTEM.
 */
export async function writeModules(
  kind: ModuleKind,
  directory: string,
  options: WriteModulesOptions = {},
): Promise<ModuleReport> {
  checkText("writeModules: the folder", directory);
  const { signal, surroundings } = COMMON;
  checkOptions(
    "writeModules",
    { ...options, kind },
    {
      ...{ ...SPACK, signal, surroundings, kind: ["tcl", "lmod"] },
      ...{ specs: "strings", store: "string", dependencies: "boolean", force: "boolean", dryRun: "boolean" },
    },
  );
  options.signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const files = spackFiles(options, around, options.store);
  const store = await files.store();
  const { specs = [], dependencies = true, force = false, dryRun = false } = options;
  return await writeAll({
    ...{ store, kind, dependencies, force, dryRun },
    roots: await installedRoots(files, store, specs),
    inspections: files.discovery.inspections,
    directory: resolve(around.cwd, directory),
  });
}
