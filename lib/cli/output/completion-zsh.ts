// The completion script of zsh.
import { type CompletedVerb, quoted, valueWord } from "./completion-words.ts";

// A colon separates a word from its description.
const item = (word: string, text: string): string => quoted(`${word.replaceAll(":", "\\:")}:${text}`);

/** The script. */
export function zsh(verbs: readonly CompletedVerb[]): string {
  const cases = verbs.map(({ names, flags, places, repeats }) => {
    const items = flags.flatMap(({ names: all, description }) => all.map((name) => item(name, description)));
    const takes = flags.flatMap(({ names: all, value }) =>
      value ? all.map((name) => `${name}:${valueWord(value)}`) : [],
    );
    const list = (all: readonly string[]): string => all.map(quoted).join(" ");
    const last = repeats ? " repeats=1" : "";
    return `    ${names.join("|")}) flags=(${items.join(" ")}) takes=(${list(takes)}) places=(${list(places.map(valueWord))})${last} ;;`;
  });
  const all = verbs.flatMap(({ names, description }) => names.map((name) => item(name, description)));
  return `#compdef stave
# Completion of stave for zsh: source <(stave completion zsh), or save it as _stave in a folder of $fpath
_stave() {
  local -a verbs flags takes places offered
  local verb= pending= value= word= repeats= at position=0
  verbs=(${all.join(" ")})
  for ((at = 2; at < CURRENT; at++)); do
    word=\${(Q)words[at]} pending=
    if [[ $word == -- ]]; then _normal; return; fi
    if [[ $word != -* ]]; then
      if [[ -n $verb ]]; then ((++position)); continue; fi
      verb=$word
      case $verb in
${cases.join("\n")}
      esac
      continue
    fi
    for value in $takes; do
      if [[ $value == "$word:"* ]]; then pending=$value; ((++at)); break; fi
    done
  done
  if [[ -z $verb ]]; then _describe -t verbs verb verbs; return; fi
  value=
  if ((at > CURRENT)) && [[ -n $pending ]]; then value=\${pending#*:}
  elif [[ $PREFIX == -* ]]; then _describe -t flags flag flags; return
  elif ((position < $#places)); then value=$places[position+1]
  elif [[ -n $repeats ]]; then value=$places[-1]
  fi
  case $value in
    ('' | none) return 1 ;;
    (\\=*) compadd -- \${(s:=:)\${value#=}}; return ;;
    (folder) _files -/; return ;;
    (file) _files; return ;;
  esac
  if [[ $PREFIX != [./~]* ]]; then
    offered=(\${(f)"$(command stave __complete "$value" "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)"})
    # An image may go on with its tag.
    if [[ $value == *image* ]]; then compadd -S '' -- $offered && return; else compadd -- $offered && return; fi
  fi
  if [[ $value == *folder* ]]; then _files -/; else _files; fi
}
if [[ $funcstack[1] == _stave ]]; then _stave "$@"; else compdef _stave stave; fi
`;
}
