// Writes completion scripts for shells. Verbs, flags and choices are part of the script; values that only this machine
// knows come from `stave __complete`, which reads local files. Nothing that was typed or offered is evaluated.
import { Argument, Command } from "commander";
import { bash } from "./completion-bash.ts";
import { fish } from "./completion-fish.ts";
import { type CompletedVerb, completedVerb } from "./completion-words.ts";
import { zsh } from "./completion-zsh.ts";

/** The shells with completion. */
export type CompletionShell = "bash" | "zsh" | "fish";

const WRITERS: Readonly<Record<CompletionShell, (verbs: readonly CompletedVerb[]) => string>> = { bash, zsh, fish };

/** The script of a shell that completes verbs, flags and their values. */
export function completionText(shell: CompletionShell, verbs: readonly Command[]): string {
  const names = verbs.flatMap((verb) => [verb.name(), ...verb.aliases()]);
  const help = new Command("help").description("show the help of a verb").helpOption(false);
  help.addArgument(new Argument("[verb]").choices(names));
  return WRITERS[shell]([...verbs, help].map(completedVerb));
}
