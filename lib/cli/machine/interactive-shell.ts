// Starts an interactive shell whose prompt shows a label. The scripts that change the prompt are constant: they take
// the label, the folders and their own place from variables, which no shell evaluates.
import { mkdtempSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, join } from "node:path";
import { findProgram } from "../../api/machine/programs.ts";
import { fileError, isStaveError, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Context } from "./context.ts";
import { type Program, programFor } from "./replace-process.ts";

/** The shell of the user, and what it is started with. */
export interface ShellOptions {
  /** The whole environment of the shell. */
  readonly env: Readonly<Record<string, string>>;
  /** What the prompt shows; other characters than those of spec names are left out. */
  readonly label: readonly string[];
  /** The folders that must come first in the PATH, whatever the shell's own files put there. */
  readonly folders: readonly string[];
}

/** The variable that the prompt's label comes from. Shells inside this one see what is loaded. */
const LABEL = "STAVE_SHELL";

/** The names that a prompt has room for. */
const SHOWN = 3;

/** The program that starts the user's shell. Throws NOT_FOUND or FILE_SYSTEM if it cannot be run. */
export function interactiveShell(context: Context, { env, label, folders }: ShellOptions): Program {
  const path = shellPath(context);
  const found = runnable(path, env, context);
  const name = basename(path).replace(/^-/, "");
  const kind = KINDS[name];
  const all = { ...env, [LABEL]: labelText(context.env[LABEL], label) };
  if (kind === undefined) return { ...found, env: all };
  const told = { ...all, STAVE_SHELL_PATH: folders.join(":") };
  if (!("files" in kind)) return { ...found, args: [name, ...kind.args("")], env: told };
  const folder = scriptFolder(context);
  for (const [file, text] of Object.entries(kind.files)) writeFileSync(join(folder, file), text, { mode: 0o600 });
  const more = kind.env?.(folder, env) ?? {};
  return { ...found, args: [name, ...kind.args(folder)], env: { ...told, STAVE_SHELL_FILES: folder, ...more } };
}

/** True if the prompt of this shell can show what is loaded. */
export const hasPrompt = ({ args: [name = ""] }: Program): boolean => Object.hasOwn(KINDS, name);

function runnable(path: string, env: ShellOptions["env"], context: Context): Program {
  try {
    return programFor([path], env, context);
  } catch (error) {
    throw isStaveError(error) ? error.with({ hint: SET_SHELL }) : error;
  }
}

const SET_SHELL = "set SHELL, for example SHELL=/bin/sh";

/** $SHELL, else the shell of the user's account, else sh. */
function shellPath({ env }: Context): string {
  const named = env["SHELL"] || accountShell() || "/bin/sh";
  if (named.startsWith("/")) return named;
  // Looked up as the user would, not in the folders of the specs.
  const path = findProgram(named, { env });
  if (path !== undefined) return path;
  throw new StaveError("NOT_FOUND", `there is no shell ${printable(named, { most: 160 })}`, {
    subject: named,
    hint: SET_SHELL,
  });
}

// In many containers the user has no account.
function accountShell(): string | undefined {
  try {
    return userInfo().shell ?? undefined;
  } catch {
    return undefined;
  }
}

// The label is text from a cache, so it has only characters without a meaning in any prompt.
function labelText(outer: string | undefined, names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => name.replace(/[^\w.+@=:-]/g, "").slice(0, 60));
  if (names.length > SHOWN) shown.push(`+${names.length - SHOWN}`);
  const before = (outer ?? "").split(" ").map((name) => name.replace(/[^\w.+@=:-]/g, "").slice(0, 60));
  return [...new Set([...before, ...shown])]
    .filter((name) => name !== "")
    .slice(0, 2 * SHOWN + 2)
    .join(" ");
}

/** A fresh folder that only this user can read; the shell removes it as soon as it has read its files. */
function scriptFolder({ env }: Context): string {
  const places = [env["XDG_RUNTIME_DIR"], env["TMPDIR"], "/tmp", "/dev/shm"];
  let last: unknown;
  for (const place of places) {
    if (!place?.startsWith("/")) continue;
    try {
      return mkdtempSync(join(place, "stave-shell-"));
    } catch (error) {
      last = error;
    }
  }
  throw fileError(last, "make a folder in", "/tmp");
}

interface ShellKind {
  readonly args: (folder: string) => readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: (folder: string, env: Readonly<Record<string, string>>) => Record<string, string>;
}

/** After the user's own files: the folders first in the PATH, and no trace of how the shell was started. */
const LAST = `case "$PATH:" in
  "\${STAVE_SHELL_PATH:-:}:"*) ;;
  *) [ -z "$STAVE_SHELL_PATH" ] || PATH=$STAVE_SHELL_PATH:$PATH ;;
esac
case "$STAVE_SHELL_FILES" in
  /*/stave-shell-*)
    for _stave_file in bashrc shrc .zshenv .zshrc; do /bin/rm -f -- "$STAVE_SHELL_FILES/$_stave_file"; done
    /bin/rmdir -- "$STAVE_SHELL_FILES"
    unset _stave_file ;;
esac
unset STAVE_SHELL_PATH STAVE_SHELL_FILES
`;

const BASH = `if [ -r ~/.bashrc ]; then . ~/.bashrc; fi
PS1="($STAVE_SHELL) $PS1"
${LAST}`;

const SH = `unset ENV
if [ -n "\${STAVE_SHELL_ENV-}" ]; then
  ENV=$STAVE_SHELL_ENV
  export ENV
  if [ -r "$ENV" ]; then . "$ENV"; fi
fi
unset STAVE_SHELL_ENV
PS1="($STAVE_SHELL) \${PS1:-\\$ }"
${LAST}`;

// zsh reads its files from ZDOTDIR, which the user's .zshenv may set.
const ZSHENV = `if [[ -n $STAVE_SHELL_ZDOTDIR ]]; then ZDOTDIR=$STAVE_SHELL_ZDOTDIR; else unset ZDOTDIR; fi
if [[ -r \${ZDOTDIR:-$HOME}/.zshenv ]]; then source "\${ZDOTDIR:-$HOME}/.zshenv"; fi
export STAVE_SHELL_ZDOTDIR=\${ZDOTDIR-}
export ZDOTDIR=$STAVE_SHELL_FILES
`;

const ZSHRC = `if [[ -n $STAVE_SHELL_ZDOTDIR ]]; then export ZDOTDIR=$STAVE_SHELL_ZDOTDIR; else unset ZDOTDIR; fi
unset STAVE_SHELL_ZDOTDIR
if [[ -r \${ZDOTDIR:-$HOME}/.zshrc ]]; then source "\${ZDOTDIR:-$HOME}/.zshrc"; fi
PROMPT="($STAVE_SHELL) $PROMPT"
${LAST}`;

const FISH = `if functions -q fish_prompt
  functions -c fish_prompt _stave_prompt
else
  function _stave_prompt; printf '> '; end
end
function _stave_status; return $argv[1]; end
function fish_prompt
  set -l last $status
  printf '(%s) ' $STAVE_SHELL
  _stave_status $last
  _stave_prompt
end
if test -n "$STAVE_SHELL_PATH"; and test (string sub -l (string length -- "$STAVE_SHELL_PATH:") -- "$PATH:") != "$STAVE_SHELL_PATH:"
  set -gx PATH (string split : -- $STAVE_SHELL_PATH) $PATH
end
set -e STAVE_SHELL_PATH`;

// The value of ENV is expanded by the shell itself, so that no character of the path has a meaning.
const POSIX: ShellKind = {
  args: () => ["-i"],
  files: { shrc: SH },
  env: (_folder, { ENV: before }) => ({
    ENV: "$STAVE_SHELL_FILES/shrc",
    ...(before && { STAVE_SHELL_ENV: before }),
  }),
};

const KINDS: Readonly<Record<string, ShellKind>> = {
  bash: { args: (folder) => ["--rcfile", join(folder, "bashrc"), "-i"], files: { bashrc: BASH } },
  zsh: {
    args: () => ["-i"],
    files: { ".zshenv": ZSHENV, ".zshrc": ZSHRC },
    env: (folder, { ZDOTDIR: before }) => ({ ZDOTDIR: folder, ...(before && { STAVE_SHELL_ZDOTDIR: before }) }),
  },
  fish: { args: () => ["-i", "-C", FISH] },
  ...{ sh: POSIX, dash: POSIX, ash: POSIX, ksh: POSIX, mksh: POSIX },
};
