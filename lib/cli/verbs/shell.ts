// `stave shell`: a shell in which specs of a build cache can be used; installs what is missing, as `run` does.
import { StaveError } from "../../errors.ts";
import { foldersOf, withVariables } from "../../ops/store/env-variables.ts";
import type { RunFlags } from "../arguments/install-to-run.ts";
import { addRun, isPlan, planText, prepareRun } from "../arguments/prepare-run.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { hasPrompt, interactiveShell } from "../machine/interactive-shell.ts";
import { replaceProcess } from "../machine/replace-process.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Starts your shell ($SHELL) with the variables that the specs need; its prompt shows their names, and exit leaves it. Specs
that are missing are installed into a store of your own. CACHE and the flags mean the same as for stave run, and a second start
sends no request either.

The prompt works in bash, zsh, fish and sh. Your own startup files are read first. $STAVE_SHELL has the names, for prompts that are
made elsewhere. A shell inside this one adds its specs to those that are there.

Examples:
  stave shell oci://ghcr.io/org/cache hdf5 py-numpy
  stave shell ghcr.io/org/cache:my-env
  stave shell -e ./my-env --mirror oci://ghcr.io/org/cache
  SHELL=/usr/bin/fish stave shell oci://ghcr.io/org/cache hdf5`;

/** The command `stave shell`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("shell", "start a shell with specs of a build cache")
    .argument("[cache]", "the cache, or the image of an environment")
    .argument("[specs...]", "the specs to use");
  addRun(command).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], RunFlags>(
    command,
    state,
    async (context, output, flags, first, more) => {
      const words = first === undefined ? [] : [first, ...more];
      if (!flags.dryRun && !(context.stdin.isTTY && context.stderr.isTTY))
        throw new StaveError("USAGE", "a shell needs a terminal for its input and its messages", {
          hint: `to run one program, write stave run ${words.join(" ") || "SPEC"} -- PROGRAM`,
        });
      const prepared = await prepareRun({ context, output, flags, words });
      if (isPlan(prepared)) {
        output.print(planText(prepared, "would start a shell"));
        output.report(prepared);
        return 0;
      }
      const env = withVariables(prepared.modifications, context.env);
      const folders = foldersOf(prepared.modifications, "PATH");
      const shell = interactiveShell(context, { env, label: prepared.names, folders });
      if (!hasPrompt(shell)) output.note(`the prompt of ${shell.path} does not show the specs; $STAVE_SHELL has them`);
      output.note(`${prepared.names.join(", ")}: \`exit\` leaves this shell`);
      output.endProgress();
      return await replaceProcess(shell);
    },
  );
};
