// The completion script of bash.
import { type CompletedVerb, quoted, valueWord } from "./completion-words.ts";

/** The script. */
export function bash(verbs: readonly CompletedVerb[]): string {
  const cases = verbs.map(({ names, flags, places, repeats }) => {
    const words = flags.flatMap((flag) => flag.names);
    const takes = flags.flatMap(({ names: all, value }) =>
      value ? all.map((name) => `${name}:${valueWord(value)}`) : [],
    );
    const list = (all: readonly string[]): string => all.map(quoted).join(" ");
    const last = repeats ? ` repeats=1` : "";
    return `    ${names.join("|")}) flags=(${list(words)}) takes=(${list(takes)}) places=(${list(places.map(valueWord))})${last} ;;`;
  });
  const all = verbs.flatMap(({ names }) => names).map(quoted);
  return `# Completion of stave for bash: source <(stave completion bash)
# Fills flags, takes, places and repeats with what the verb has.
_stave_verb() {
  case $1 in
${cases.join("\n")}
  esac
}
# Offers the words that begin with what was typed; $1 is what bash leaves as it is.
_stave_offer() {
  local start=$1 word
  shift
  for word; do
    if [[ $word == "$cur"* ]]; then COMPREPLY+=("\${word#"$start"}"); fi
  done
}
_stave() {
  local line=\${COMP_LINE:0:COMP_POINT} cur pending= verb= value= word start tail at last position=0 repeats=
  local -a words=() flags=() takes=() places=() offered=()
  COMPREPLY=()
  # Split at blanks only: bash also splits at : and @ and =.
  read -ra words <<< "$line"
  if [[ $line == *[[:blank:]] ]]; then words+=(''); fi
  while ((\${#words[@]} > 1)) && [[ \${words[0]} != "\${COMP_WORDS[0]}" ]]; do words=("\${words[@]:1}"); done
  last=$((\${#words[@]} - 1)) cur=\${words[-1]}
  for ((at = 1; at < last; at++)); do
    word=\${words[at]} pending=
    if [[ $word == -- ]]; then compopt -o default 2>/dev/null; return; fi
    if [[ $word != -* ]]; then
      if [[ -z $verb ]]; then verb=$word; _stave_verb "$verb"; else ((++position)); fi
      continue
    fi
    for value in "\${takes[@]}"; do
      if [[ $value == "$word:"* ]]; then pending=$value; ((++at)); break; fi
    done
  done
  # Bash replaces only what follows the last of these characters, and an @ itself.
  tail=\${cur##*["$COMP_WORDBREAKS"]} start=\${cur%"$tail"} start=\${start%@}
  if [[ -z $verb ]]; then
    if [[ $cur == -* ]]; then offered=(--help --version); else offered=(${all.join(" ")}); fi
    _stave_offer "$start" "\${offered[@]}"
    return
  fi
  value=
  if ((at > last)) && [[ -n $pending ]]; then value=\${pending#*:}
  elif [[ $cur == -* ]]; then _stave_offer "$start" "\${flags[@]}"; return
  elif ((position < \${#places[@]})); then value=\${places[position]}
  elif [[ -n $repeats ]]; then value=\${places[-1]}
  fi
  case $value in
    '' | none) return ;;
    =*)
      IFS== read -ra offered <<< "\${value#=}"
      _stave_offer "$start" "\${offered[@]}"
      return
      ;;
    folder) compopt -o dirnames 2>/dev/null; return ;;
    file) compopt -o default 2>/dev/null; return ;;
  esac
  if [[ $cur != [./~]* ]]; then
    mapfile -t offered < <(command stave __complete "$value" "\${words[@]:1}" 2>/dev/null)
    _stave_offer "$start" "\${offered[@]}"
  fi
  # An image may go on with its tag.
  if [[ $value == *image* ]]; then compopt -o nospace 2>/dev/null; fi
  if [[ $value == *folder* ]]; then compopt -o dirnames 2>/dev/null; else compopt -o default 2>/dev/null; fi
}
complete -F _stave stave
`;
}
