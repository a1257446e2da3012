// Writes completion scripts for shells. They are static: no program starts when a key is pressed, and nothing that was
// typed is evaluated.
import { Argument, Command, type Option } from "commander";

/** The shells with completion. */
export type CompletionShell = "bash" | "zsh" | "fish";

/** The script that completes verbs, flags, and the values of flags that have choices; everything else as files. */
export function completionText(shell: CompletionShell, verbs: readonly Command[]): string {
  const names = verbs.flatMap(namesOf);
  const help = new Command("help").description("show the help of a verb").helpOption(false);
  return WRITERS[shell]([...verbs, help.addArgument(new Argument("[verb]").choices(names))]);
}

const WRITERS: Record<CompletionShell, (verbs: readonly Command[]) => string> = { bash, zsh, fish };

const namesOf = (verb: Command): string[] => [verb.name(), ...verb.aliases()];
const shownOptions = (verb: Command): Option[] => verb.createHelp().visibleOptions(verb);
const flagsOf = (verb: Command): string[] =>
  shownOptions(verb).flatMap(({ short, long }) => [short, long].flatMap((flag) => flag ?? []));
/** What may come first after the verb, as in `stave trust show`. */
const partsOf = (verb: Command): readonly string[] => verb.registeredArguments[0]?.argChoices ?? [];

/** A word in single quotes, for any of the shells. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The choices of flags, over all verbs: the same flag has the same choices. */
function choicesOf(verbs: readonly Command[]): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const verb of verbs)
    for (const { long, argChoices } of shownOptions(verb)) if (long && argChoices) found.set(long, argChoices);
  return found;
}

function bash(verbs: readonly Command[]): string {
  const cases = verbs.map(
    (verb) =>
      `    ${namesOf(verb).join("|")}) flags=${quoted(flagsOf(verb).join(" "))} parts=${quoted(partsOf(verb).join(" "))} ;;`,
  );
  const choices = [...choicesOf(verbs)].map(
    ([flag, all]) => `    ${flag}) mapfile -t COMPREPLY < <(compgen -W ${quoted(all.join(" "))} -- "$cur"); return ;;`,
  );
  return `# Completion of stave for bash: source <(stave completion bash)
_stave() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} verb= flags= parts= word at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if [[ $word == -- ]]; then compopt -o default 2>/dev/null; return; fi
    if [[ $word != -* ]]; then verb=$word; break; fi
  done
  if [[ -z $verb ]]; then
    parts=${quoted(verbs.flatMap(namesOf).join(" "))}
    if [[ $cur == -* ]]; then parts='--help --version'; fi
    mapfile -t COMPREPLY < <(compgen -W "$parts" -- "$cur")
    return
  fi
  case $prev in
${choices.join("\n")}
  esac
  case $verb in
${cases.join("\n")}
  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
  elif [[ -n $parts && $COMP_CWORD -eq $((at + 1)) ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$parts" -- "$cur")
  else
    compopt -o default 2>/dev/null
  fi
}
complete -F _stave stave
`;
}

function zsh(verbs: readonly Command[]): string {
  // A colon separates a word from its description.
  const item = (word: string, text: string): string => quoted(`${word.replaceAll(":", "\\:")}:${text}`);
  const flags = (verb: Command): string =>
    shownOptions(verb)
      .flatMap(({ short, long, description }) =>
        [short, long].flatMap((flag) => (flag ? [item(flag, description)] : [])),
      )
      .join(" ");
  const cases = verbs.map((verb) => {
    const parts = partsOf(verb).map(quoted).join(" ");
    return `    ${namesOf(verb).join("|")}) flags=(${flags(verb)}) parts=(${parts}) ;;`;
  });
  const choices = [...choicesOf(verbs)].map(
    ([flag, all]) => `    ${flag}) compadd -- ${all.map(quoted).join(" ")}; return ;;`,
  );
  const all = verbs.flatMap((verb) => namesOf(verb).map((name) => item(name, verb.description())));
  return `#compdef stave
# Completion of stave for zsh: source <(stave completion zsh), or save it as _stave in a folder of $fpath
_stave() {
  local -a verbs flags parts
  local verb= at=2
  verbs=(${all.join(" ")})
  while ((at < CURRENT)) && [[ $words[at] == -* ]]; do ((at++)); done
  ((at < CURRENT)) && verb=$words[at]
  if [[ -z $verb ]]; then _describe -t verbs verb verbs; return; fi
  case $words[CURRENT-1] in
${choices.join("\n")}
  esac
  case $verb in
${cases.join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then _describe -t flags flag flags
  elif (( $#parts && CURRENT == at + 1 )); then compadd -a parts
  else _files
  fi
}
if [[ $funcstack[1] == _stave ]]; then _stave "$@"; else compdef _stave stave; fi
`;
}

function fish(verbs: readonly Command[]): string {
  const lines = verbs.flatMap((verb) => {
    const names = namesOf(verb);
    const here = `-n '__fish_seen_subcommand_from ${names.join(" ")}'`;
    const words = names.map(
      (name) => `complete -c stave -n __fish_use_subcommand -f -a ${name} -d ${fishQuoted(verb.description())}`,
    );
    const parts = partsOf(verb).map((part) => `complete -c stave ${here} -a ${part}`);
    const flags = shownOptions(verb).map((option) => {
      const short = option.short ? ` -s ${option.short.slice(1)}` : "";
      const long = option.long ? ` -l ${option.long.slice(2)}` : "";
      const value = option.required || option.optional ? " -r" : "";
      const choices = option.argChoices ? ` -f -a ${fishQuoted(option.argChoices.join(" "))}` : "";
      return `complete -c stave ${here}${short}${long}${value}${choices} -d ${fishQuoted(option.description)}`;
    });
    return [...words, ...parts, ...flags];
  });
  return `# Completion of stave for fish: stave completion fish | source\n${lines.join("\n")}\n`;
}

const fishQuoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
