// What the readers of recipes warn of: what was not understood, and variables that reach further than the specs.

import { printable } from "../../printable/printable.ts";
import type { UnreadRecipe } from "../../spack/environment/recipe-variables.ts";

/** A warning for each recipe that was not understood; `flag` is what sets a variable by hand. */
export function* recipeWarnings(unread: readonly UnreadRecipe[], flag: string): Iterable<string> {
  for (const { name, version, hash, line, reason } of unread)
    yield `the recipe of ${printable(`${name}@${version}/${hash.slice(0, 7)}`)} sets variables in a way that is not understood (line ${line}: ${printable(reason)}): ${flag} sets what is missing, or --spack DIR asks Spack`;
}

/** The warning that programs of others find libraries of the specs. */
export function libraryPathWarning(folders: readonly string[]): string | undefined {
  const [first] = folders;
  if (first === undefined) return undefined;
  const more = folders.length > 1 ? ` and ${folders.length - 1} more` : "";
  return `LD_LIBRARY_PATH has ${printable(first)}${more}, so programs of the base image load libraries from there, too; --variable LD_LIBRARY_PATH= leaves it empty (Spack's programs find theirs without it)`;
}
