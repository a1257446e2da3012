// `stave view`: creates one tree of links to the files of several installed specs.
import { resolve } from "node:path";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenRoots } from "../../api/from-spack/spack-specs.ts";
import { type ViewReport, view } from "../../ops/store/view.ts";
import { printable } from "../../printable/printable.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  dependencies: boolean;
  hardlink?: boolean;
  strict?: boolean;
  dryRun?: boolean;
}

const HELP = `
Without SPEC, uses the roots of the environment. Link and run dependencies are included. If two specs have a file at the same path,
the view links to that of the dependent and reports the other. Run it again to update a view: links into the store are replaced,
anything else in the way is an error.

Examples:
  stave view ./view hdf5 cmake
  stave view /opt/view -e ./my-env --strict`;

/** The command `stave view`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("view", "make one tree of links to installed specs")
    .argument("<dir>", "the folder of the view")
    .argument("[specs...]", "the specs to link to")
    .option("--no-dependencies", "leave out dependencies")
    .option("--hardlink", "make hard links instead of symbolic links")
    .option("--strict", "fail if two specs have a file at the same path");
  addSpack(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, directory, texts) => {
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const report = await view({
      store,
      directory: resolve(context.cwd, directory),
      roots: await chosenRoots(files, store, texts),
      dependencies: flags.dependencies,
      kind: flags.hardlink ? "hardlink" : "symlink",
      strict: flags.strict === true,
      dryRun: flags.dryRun,
      signal: context.signal,
    });
    for (const text of conflicts(report)) output.warn(text);
    const { specs, links, made } = report;
    const isNew = made === links && !flags.dryRun ? "" : `, ${made} ${flags.dryRun ? "to make" : "of them new"}`;
    output.print(
      `${printable(report.directory)}: ${count(links, "link")} to ${count(specs.length, "package")}${isNew}`,
    );
    output.report(report);
    return 0;
  });
};

const LISTED = 20;

function* conflicts({ conflicts: all }: ViewReport): Iterable<string> {
  for (const { path, shown, hidden } of all.slice(0, LISTED))
    yield `${printable(path)} is taken from ${printable(shown)}; ${printable(hidden)} is left out`;
  if (all.length > LISTED) yield `and ${all.length - LISTED} more; --json lists them all`;
}
