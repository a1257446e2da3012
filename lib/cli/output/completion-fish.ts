// The completion script of fish.
import type { CompletedValue, CompletedVerb } from "./completion-words.ts";

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The arguments of `complete` for a value. */
function offers(value: CompletedValue): string {
  if ("choices" in value) return ` -f -a ${quoted(value.choices.join(" "))}`;
  const { kinds } = value;
  if (kinds.includes("none")) return " -f";
  return kinds.includes("file") ? " -F" : ` -f -a '(__stave_values ${kinds.join(",")})'`;
}

/** The script. */
export function fish(verbs: readonly CompletedVerb[]): string {
  const lines = verbs.flatMap(({ names, description, flags, places }) => {
    const here = `-n '__stave_in ${names.join(" ")}'`;
    const words = names.map(
      (name) => `complete -c stave -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
    );
    const all = flags.map((flag) => {
      const given = flag.names.map((name) => (name.startsWith("--") ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`));
      const value = flag.value === undefined ? "" : ` -r${offers(flag.value)}`;
      return `complete -c stave ${here}${given.join("")}${value} -d ${quoted(flag.description)}`;
    });
    const kinds = places.flatMap((place) => ("kinds" in place ? place.kinds : []));
    const choices = places.flatMap((place) => ("choices" in place ? [place] : []));
    const values = [...choices, ...(kinds.length > 0 ? [{ kinds: [...new Set(kinds)] }] : [])];
    return [...words, ...values.map((value) => `complete -c stave ${here}${offers(value)}`), ...all];
  });
  return `# Completion of stave for fish: stave completion fish | source
function __stave_in
  not contains -- -- (commandline -opc); and __fish_seen_subcommand_from $argv
end
# Prints what stave knows, else files or folders.
function __stave_values
  set -l word (commandline -ct)
  if not string match -qr '^[./~]' -- "$word"; and test $argv[1] != folder
    set -l known (command stave __complete $argv[1] (commandline -opc)[2..] "$word" 2>/dev/null)
    if set -q known[1]
      printf '%s\\n' $known
      return
    end
  end
  if string match -q '*folder*' $argv[1]
    __fish_complete_directories "$word" ''
  else
    __fish_complete_path "$word" ''
  end
end
${lines.join("\n")}
`;
}
