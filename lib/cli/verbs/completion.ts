// `stave completion`: prints the completion script of a shell.
import { Argument } from "commander";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { type CompletionShell, completionText } from "../output/completion-text.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

/** The report of `completion`. */
interface CompletionReport {
  readonly shell: CompletionShell;
  readonly script: string;
}

const HELP = `
Completes verbs, flags and their values. Verbs and flags are in the script, so print it again after an update. Specs, tags,
caches, images, mirrors and environments come from local files: what earlier commands have met, and Spack's configuration. No
registry is asked.

Put the line for bash in ~/.bashrc, and the one for zsh in ~/.zshrc, after compinit.

Examples:
  stave completion fish > ~/.config/fish/completions/stave.fish
  source <(stave completion bash)
  source <(stave completion zsh)`;

/** The command `stave completion`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("completion", "print the completion script of a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", helpText(HELP));
  return bindAction<[CompletionShell], OutputOptions>(command, state, async (_context, output, _flags, shell) => {
    const script = completionText(shell, await state.allVerbs());
    output.printExact(script);
    const report: CompletionReport = { shell, script };
    output.report(report);
    return 0;
  });
};
