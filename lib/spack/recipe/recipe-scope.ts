// What names mean in a recipe: its own classes and constants, the functions that it imports, and what base classes may
// add. A name with any other meaning is not understood.

import type { Line } from "./python-lines.ts";
import { NotUnderstood } from "./python-tokens.ts";
import type { Method, Recipe, RecipeClass } from "./recipe.ts";

/** The name of the class of a package (Spack `naming.py`). */
export function classNameOf(packageName: string): string {
  const words = packageName.replaceAll("_", "-").split("-");
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase()).join("");
  return /^[0-9]/.test(name) ? `_${name}` : name;
}

/** What a class defines under a name. */
export type Member =
  | { readonly kind: "methods"; readonly methods: readonly Method[]; readonly from: RecipeClass }
  | { readonly kind: "constant"; readonly line: Line };

/**
 * Finds a name in a class of a recipe and its bases in the same file; undefined if all of them lack it and all other
 * bases are build systems of Spack's own repository. Throws NotUnderstood if it cannot be known.
 */
export function memberOf(recipe: Recipe, start: RecipeClass, name: string, depth = 0): Member | undefined {
  const { methods, constants, unknown, line } = start;
  const own = methods.filter((method) => method.name === name);
  if (unknown.has(name) || depth > BASES) throw new NotUnderstood(line, `what ${start.name} sets as ${name}`);
  const constant = constants.get(name);
  if (own.length > 0 && constant !== undefined) throw new NotUnderstood(line, `${name} is set twice`);
  if (own.length > 0) return { kind: "methods", methods: own, from: start };
  if (constant !== undefined) return { kind: "constant", line: constant };
  return memberOfBases(recipe, start, name, depth);
}

/** Finds a name as `super()` does. */
export function memberOfBases(recipe: Recipe, start: RecipeClass, name: string, depth = 0): Member | undefined {
  if (start.bases === undefined) throw new NotUnderstood(start.line, `the bases of ${start.name}`);
  for (const base of start.bases) {
    const local = recipe.classes.get(base);
    if (local !== undefined && local !== start) {
      const found = memberOf(recipe, local, name, depth + 1);
      if (found !== undefined) return found;
    } else if (!isBuildSystem(recipe, base))
      throw new NotUnderstood(start.line, `${start.name} inherits from ${base}, which is not in this recipe`);
  }
  return undefined;
}

const BASES = 8;

// Of all build systems only oneAPI's sets variables.
const BUILD_SYSTEM = /^spack_repo\.builtin\.build_systems\.(?!oneapi\b)\w+\.\w+$/;

function isBuildSystem(recipe: Recipe, base: string): boolean {
  // `cmake.CMakePackage`
  const [first = "", ...rest] = base.split(".");
  const module = recipe.imports.get(first);
  const from = module === undefined ? undefined : [module, ...rest].join(".");
  if (from !== undefined) return BUILD_SYSTEM.test(from) || (from === `spack.package.${base}` && isPlainBase(base));
  return rest.length === 0 && isPlainBase(base) && recipe.starImports.length > 0 && hasOnlyKnownStars(recipe);
}

const isPlainBase = (name: string): boolean =>
  (name.endsWith("Package") || name.endsWith("Mixin") || name === "PackageBase") && !/oneapi/i.test(name);

function hasOnlyKnownStars({ starImports }: Recipe): boolean {
  return starImports.every((module) => KNOWN_STARS.test(module));
}

const KNOWN_STARS =
  /^(?:spack|spack\.package|spack\.package_base|spack\.directives)$|^spack_repo\.builtin\.build_systems\./;

// Functions and modules by the places that recipes import them from.
const IMPORTED: readonly (readonly [RegExp, string])[] = [
  [/^os$/, "os"],
  [/^(?:os\.path|posixpath)$/, "os.path"],
  [/^os\.path\.(?:join|isdir|isfile|exists|dirname|basename)$/, ""],
  [/^sys$/, "sys"],
  [/^(?:spack\.)?(?:llnl\.util\.tty|spack\.package\.tty)$/, "tty"],
  [/^(?:spack\.package|(?:spack\.)?llnl\.util\.filesystem|spack\.util\.path)\.join_path$/, "join_path"],
  [/^spack\.(?:package|version)\.(?:Version|ver)$/, "Version"],
  [/^spack\.(?:package|util\.prefix)\.Prefix$/, "Prefix"],
];
const BUILT_IN = new Set(["str", "len", "super"]);
const OF_PACKAGE: ReadonlyMap<string, string> = new Map([
  ["join_path", "join_path"],
  ["Version", "Version"],
  ["Prefix", "Prefix"],
  ["tty", "tty"],
]);

/** The module or function that a name of a recipe's module stands for; undefined if it is another name. */
export function importedName(recipe: Recipe, name: string): string | undefined {
  if (recipe.unknown.has(name) || recipe.constants.has(name) || recipe.classes.has(name)) return undefined;
  const from = recipe.imports.get(name);
  if (from === undefined) {
    if (BUILT_IN.has(name)) return name;
    return hasOnlyKnownStars(recipe) && recipe.starImports.length > 0 ? OF_PACKAGE.get(name) : undefined;
  }
  const known = IMPORTED.find(([pattern]) => pattern.test(from));
  return known && (known[1] === "" ? from : known[1]);
}
