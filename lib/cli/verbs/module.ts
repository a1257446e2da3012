// `stave module`: writes modulefiles of installed specs, for Environment Modules or Lmod.
import { join, resolve } from "node:path";
import { Argument } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { installedRoots } from "../../api/from-spack/spack-specs.ts";
import { StaveError } from "../../errors.ts";
import type { ModuleKind } from "../../ops/store/modulefile.ts";
import { writeModules } from "../../ops/store/modules.ts";
import { printable } from "../../printable/printable.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { OutputOptions } from "../output/output.ts";
import { recipeWarnings } from "../output/recipe-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  output?: string;
  dependencies: boolean;
  force?: boolean;
  dryRun?: boolean;
}

const HELP = `
Writes the modulefiles of specs and of their link and run dependencies, with the names, folders and contents of Spack's default
configuration; variables are as for stave env. Without SPEC, uses the roots of the environment. Without --output the files go to
the Spack in use: share/spack/modules or share/spack/lmod. A file of other content stays, unless --force is given.

Examples:
  stave module tcl hdf5 --output ~/modules
  stave module lmod -e ./my-env --output /apps/lmod
  stave module tcl hdf5 --output ~/modules --plan`;

/** The command `stave module`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("module", "write modulefiles of installed specs, for Tcl or Lmod")
    .addArgument(new Argument("<kind>", "the kind of modulefiles").choices(["tcl", "lmod"]))
    .argument("[specs...]", "the specs that get modulefiles")
    .option("--output <dir>", "the folder to write to (default: that of the Spack in use)")
    .option("--no-dependencies", "only the named specs")
    .option("-f, --force", "replace files of other content");
  addSpack(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[ModuleKind, string[]], Flags>(command, state, async (context, output, flags, kind, texts) => {
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const roots = await installedRoots(files, store, texts);
    const report = await writeModules({
      store,
      kind,
      roots,
      dependencies: flags.dependencies,
      inspections: files.discovery.inspections,
      directory: folderFor(kind, flags, files, context.cwd),
      force: flags.force === true,
      dryRun: flags.dryRun === true,
    });
    for (const text of recipeWarnings(report.notUnderstood, "a modulefile of your own")) output.warn(text);
    const of = (wanted: string) => report.modules.filter(({ outcome }) => outcome === wanted);
    for (const { path } of of("differs"))
      output.warn(`${join(report.directory, path)} has other content and stays; --force replaces it`);
    for (const { path, module } of of("written")) output.print(printable(`${module} ${join(report.directory, path)}`));
    const same = of("same").length > 0 ? `, ${of("same").length} unchanged` : "";
    output.note(`${flags.dryRun ? "would write " : ""}${count(of("written").length, "modulefile")}${same}`);
    for (const folder of report.use) output.note(printable(`module use ${folder}`));
    output.report(report);
    return 0;
  });
};

function folderFor(kind: ModuleKind, { output }: Flags, { discovery }: SpackFiles, cwd: string): string {
  if (output !== undefined) return resolve(cwd, output);
  const { installation } = discovery;
  if (installation !== undefined && installation.from !== "PATH")
    return join(installation.root, "share/spack", kind === "tcl" ? "modules" : "lmod");
  throw new StaveError("USAGE", "there is no Spack whose folder of modulefiles could be used", {
    hint: "name a folder with --output DIR",
  });
}
