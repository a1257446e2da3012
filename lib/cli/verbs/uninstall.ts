// `stave uninstall`: removes installed specs, unless others need them.

import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenRoots } from "../../api/from-spack/spack-specs.ts";
import { StaveError } from "../../errors.ts";
import type { UninstalledSpec } from "../../ops/store/remove-specs.ts";
import { planUninstall, uninstall } from "../../ops/store/uninstall.ts";
import { printable } from "../../printable/printable.ts";
import { recoverStore } from "../../store/recover.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { confirm } from "../output/confirm.ts";
import { count } from "../output/formatting.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  dependents?: boolean;
  force?: boolean;
  yes?: boolean;
  yesToAll?: boolean;
  dryRun?: boolean;
}

const HELP = `
Each SPEC must match exactly one installed spec; it may span several arguments, as in hdf5 ^mpich. A spec that others were built with
stays in the database, marked as not installed. Externals are only removed from the database. Refuses if a named environment
contains a spec. Asks for confirmation; without a terminal, --yes is required.

Examples:
  stave uninstall hdf5 ^mpich
  stave uninstall --dependents zlib-ng --dry-run
  stave uninstall -y /abc123`;

/** The command `stave uninstall`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("uninstall", "remove installed specs from a Spack store")
    .argument("<specs...>", "the specs to remove")
    .option("-R, --dependents", "also remove specs that link or run them")
    .option("-f, --force", "even if other specs or environments need them")
    .option("-y, --yes", "do not ask for confirmation")
    // Spack's spelling.
    .addOption(new Option("--yes-to-all").hideHelp());
  addSpack(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, texts) => {
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    await using locks = files.locks(store, (text) => output.note(text));
    // First: specs that a killed run left may be missing from the database, so that no query would match them.
    if (!flags.dryRun) await recoverStore(store, locks, context.signal);
    const { environmentsRoot, environment } = files.discovery;
    const options = {
      store,
      nodes: await chosenRoots(files, store, texts),
      dependents: flags.dependents === true,
      environmentsRoot,
      environment: environment?.folder,
      force: flags.force === true,
    };
    const plan = await planUninstall(options);
    if (flags.dryRun) {
      for (const text of render(plan.specs, output)) output.print(text);
      output.note(`would uninstall ${count(plan.specs.length, "package")}`);
      output.report({ ...plan, dryRun: true });
      return 0;
    }
    if (flags.yes !== true && flags.yesToAll !== true) {
      for (const text of render(plan.specs, output)) output.note(text);
      if (!(await confirm(context, `uninstall ${count(plan.specs.length, "package")}?`)))
        throw new StaveError("ABORTED", "nothing was uninstalled");
    }
    const report = await uninstall({ ...options, locks, clock: context.clock });
    for (const text of render(report.specs, output)) output.print(text);
    output.note(`uninstalled ${count(report.specs.length, "package")}`);
    output.report({ ...report, dryRun: false });
    return 0;
  });
};

function* render(specs: readonly UninstalledSpec[], output: Output): Iterable<string> {
  for (const { name, version, hash, external, dependent } of specs) {
    const why = [
      ...(dependent ? ["depends on what was named"] : []),
      ...(external ? ["external: only its record"] : []),
    ];
    const more = why.length > 0 ? output.style("dim", `  ${why.join(", ")}`) : "";
    yield `${output.style("dim", hash.slice(0, 7))} ${printable(`${name}@${version}`)}${more}`;
  }
}
