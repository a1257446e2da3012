// `stave env`: prints shell commands that make installed specs usable.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenRoots } from "../../api/from-spack/spack-specs.ts";
import { StaveError } from "../../errors.ts";
import { runVariables, type Shell, shellText } from "../../ops/store/env.ts";
import { askFoundSpack, askSpack, isFoundSpack } from "../../spack/environment/ask-spack.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { OutputOptions } from "../output/output.ts";
import { recipeWarnings } from "../output/recipe-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  sh?: boolean;
  csh?: boolean;
  fish?: boolean;
}

const HELP = `
Without SPEC, uses the roots of the environment. The variables follow from the folders of the specs and of their link and run
dependencies, and from the copies of recipes in their prefixes, which are read as text and not executed; a recipe that is not
understood is named. Spack is asked instead if --spack or $SPACK_ROOT names it; one on the PATH only if there are such recipes. The
output for sh and fish extends whatever values the variables have when it runs, so it can be saved in a file; the output for csh
holds values for the current environment only.

Examples:
  stave env -e ./my-env > activate.sh
  eval "$(stave env hdf5)"
  eval \`stave env hdf5 --csh\`
  stave env hdf5 --fish | source`;

/** The command `stave env`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("env", "print shell commands that make installed specs usable")
    .argument("[specs...]", "the specs to use")
    .option("--sh", "for sh, bash and zsh (the default)")
    .option("--csh", "for csh and tcsh")
    .option("--fish", "for fish");
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, texts) => {
    const shells = (["sh", "csh", "fish"] as const).filter((name) => flags[name]);
    if (shells.length + (flags.json ? 1 : 0) > 1)
      throw new StaveError("USAGE", "--sh, --csh, --fish and --json exclude each other");
    const shell: Shell = shells[0] ?? "sh";
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const roots = await chosenRoots(files, store, texts);
    for (const { name, hash } of roots)
      if (!store.get(hash)?.installed)
        throw new StaveError("SPEC_NOT_INSTALLED", `${name}/${hash.slice(0, 7)} is not installed`, { subject: hash });
    const { inspections } = files.discovery;
    const options = { store, roots, inspections, current: context.env };
    const question = { environments: [roots], specs: [] };
    const named = files.spackToAsk();
    const spack = named && { ...named, signal: context.signal };
    const isFound = spack !== undefined && isFoundSpack(spack);
    const answer = spack && !isFound ? await askSpack(question, spack) : undefined;
    let report = runVariables({ ...options, asked: answer?.environments[0] });
    if (isFound && report.notUnderstood.length > 0) {
      const found = await askFoundSpack(question, spack, (text) => output.warn(text));
      if (found !== undefined) report = runVariables({ ...options, asked: found.environments[0] });
    }
    for (const text of recipeWarnings(report.notUnderstood, "your own `export`")) output.warn(text);
    if (!flags.json) output.printExact(shellText(report.variables, shell));
    output.report(report);
    return 0;
  });
};
