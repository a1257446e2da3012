// `env`: the shell commands that make installed specs usable, like Spack's `load`.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Inspection } from "../../spack/config/settings.ts";
import type { EnvModification } from "../../spack/environment/env-modifications.ts";
import type { UnreadRecipe } from "../../spack/environment/recipe-variables.ts";
import { installedModifications } from "../../spack/environment/run-environment.ts";
import { RecipeReader } from "../../spack/recipe/recipe-reader.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { type EnvVariable, variablesOf } from "./env-variables.ts";

/** The supported shells. */
export type Shell = "sh" | "csh" | "fish";

/** The specs to use, and the environment to change. */
export interface EnvOptions {
  readonly store: Store;
  /** The specs to use; their link and run dependencies are added. */
  readonly roots: readonly SpecNode[];
  readonly inspections: readonly Inspection[];
  /** The exact modifications, if Spack was asked for them. */
  readonly asked?: readonly EnvModification[] | undefined;
  /** The current environment. */
  readonly current: Readonly<Record<string, string | undefined>>;
}

/** The report of `env`. */
export interface EnvReport {
  readonly store: string;
  readonly specs: readonly string[];
  /** By name. */
  readonly variables: readonly EnvVariable[];
  /** Recipes that set more than was understood, and the first place in each. */
  readonly notUnderstood: readonly UnreadRecipe[];
}

/** The variables of installed specs. Throws SPEC_INVALID for an external with an invalid description. */
export function runVariables({ store, roots, inspections, asked, current }: EnvOptions): EnvReport {
  const { modifications, notUnderstood } = runModifications({ store, roots, inspections, asked });
  return {
    store: store.root,
    specs: roots.map(({ hash }) => hash),
    variables: variablesOf(modifications, current),
    notUnderstood,
  };
}

/** The modifications that make installed specs usable. Throws SPEC_INVALID as `runVariables` does. */
export function runModifications({ store, roots, inspections, asked }: Omit<EnvOptions, "current">): {
  readonly modifications: readonly EnvModification[];
  readonly notUnderstood: readonly UnreadRecipe[];
} {
  const recipes = new RecipeReader(store);
  const modifications =
    asked ??
    installedModifications({
      roots,
      recipes,
      inspections,
      prefixOf: (node) => store.get(node.hash)?.path ?? node.external?.path ?? undefined,
      isDirectory: (path) => kindAt(path, store.sysroot) === "folder",
    });
  return { modifications, notUnderstood: recipes.unread };
}

/**
 * The text for a shell, one command per line. For sh and fish it extends the value that a variable has when the text is
 * run, so it can be saved; for csh it contains values for the current environment. Throws SPEC_INVALID for a name that
 * is not a valid variable name.
 */
export function shellText(variables: readonly EnvVariable[], shell: Shell): string {
  for (const { name } of variables)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new StaveError("SPEC_INVALID", `no shell supports a variable named "${printable(name)}"`, {
        hint: "correct the environment of the external that names it",
      });
  return variables.map((variable) => `${COMMANDS[shell](variable)}\n`).join("");
}

const COMMANDS: Record<Shell, (variable: EnvVariable) => string> = {
  sh: ({ name, path, value }) => {
    if (value === undefined) return `unset ${name};`;
    if (path === undefined) return `export ${name}=${quoteSh(value)};`;
    const before = path.before.length > 0 ? quoteSh(path.before.join(":")) : "";
    const after = path.after.length > 0 ? quoteSh(path.after.join(":")) : "";
    const own = before === "" ? `"\${${name}:+$${name}:}"` : `"\${${name}:+:$${name}}"`;
    const last = before !== "" && after !== "" ? `:${after}` : after;
    return `export ${name}=${before}${own}${last}${name === "MANPATH" ? ":" : ""};`;
  },
  csh: ({ name, value }) => (value === undefined ? `unsetenv ${name};` : `setenv ${name} ${quoteCsh(value)};`),
  fish: ({ name, path, value }) => {
    if (value === undefined) return `set -e ${name};`;
    if (path === undefined) return `set -gx ${name} ${quoteFish(value)};`;
    const words = [...path.before.map(quoteFish), `$${name}`, ...path.after.map(quoteFish)];
    return `set -gx --path ${name} ${words.join(" ")}${name === "MANPATH" ? " ''" : ""};`;
  },
};

// Control characters other than line ends would reach the terminal, so they are made by printf.
const quoteSh = (text: string): string =>
  `'${text
    .replaceAll("'", "'\\''")
    .replace(COMMANDS_OF_LOGS, "$&''")
    .replace(CONTROLS, (character) => `'"$(printf '${octal(character)}')"'`)}'`;
// csh expands history inside quotes too. Characters that backquotes around the command would change (line ends and
// other blanks, braces, patterns) are written as numbers, which tcsh reads between $' and '.
const quoteCsh = (text: string): string =>
  /[^\S ]| {2}|^ | $|[{}*?[\]]|\p{Cc}/u.test(text)
    ? `$'${text.replace(/[^\w./:,+@%=\u00a0-\uffff-]/g, octal)}'`
    : `'${text.replaceAll("'", "'\\''").replaceAll("!", "\\!")}'`;
const octal = (character: string): string =>
  Array.from(Buffer.from(character), (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
const quoteFish = (text: string): string =>
  `'${text
    .replaceAll("\\", "\\\\")
    .replaceAll("'", "\\'")
    .replace(COMMANDS_OF_LOGS, "$&''")
    .replace(CONTROLS, (character) => `'\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}'`)}'`;
// Where the runner of GitHub Actions would find a command, if the text is printed to its log.
const COMMANDS_OF_LOGS = /##(?=\[)|(?=::)(?<=\n\s*)/g;
// C0 but line ends, DEL and C1.
const CONTROLS = /[^\P{Cc}\n]/gu;
