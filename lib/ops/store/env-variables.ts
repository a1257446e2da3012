// The values that variables get from modifications.
import { applyModifications, type EnvModification } from "../../spack/environment/env-modifications.ts";

/** One variable. */
export interface EnvVariable {
  readonly name: string;
  /** The folders to prepend and append, if nothing else changes. */
  readonly path: { readonly before: readonly string[]; readonly after: readonly string[] } | undefined;
  /** The new value in the current environment; undefined if the variable is unset. */
  readonly value: string | undefined;
}

/** The variables that modifications change, with their values in an environment. */
export function variablesOf(
  all: readonly EnvModification[],
  current: Readonly<Record<string, string | undefined>>,
): EnvVariable[] {
  const before = new Map(
    Object.entries(current).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const after = applyModifications(all, before);
  const byName = Map.groupBy(all, ({ name }) => name);
  const variables = [...byName].map(([name, modifications]): EnvVariable => {
    const path = pathOf(modifications);
    const value = path === undefined ? after.get(name) : joined(path, before.get(name));
    return { name, path, value: value === undefined ? undefined : withSystem(name, value) };
  });
  return variables.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** A whole environment with the variables that modifications change. */
export function withVariables(
  modifications: readonly EnvModification[],
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const all = new Map(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  for (const { name, value } of variablesOf(modifications, env)) {
    if (value === undefined) all.delete(name);
    else all.set(name, value);
  }
  return Object.fromEntries(all);
}

/** The folders that modifications put in front of a variable, the first to be searched first. */
export function foldersOf(all: readonly EnvModification[], name: string): readonly string[] {
  const own = all.filter((one) => one.name === name);
  return pathOf(own.filter((one) => one.op === "prepend-path"))?.before ?? [];
}

// List each folder once; the last one prepended has precedence.
function pathOf(modifications: readonly EnvModification[]): EnvVariable["path"] {
  const before: string[] = [];
  const after: string[] = [];
  for (const one of modifications) {
    if (one.op === "prepend-path" && one.separator === ":") before.unshift(one.value);
    else if (one.op === "append-path" && one.separator === ":") after.push(one.value);
    else return undefined;
  }
  const first = new Set(before);
  return { before: [...first], after: [...new Set(after)].filter((folder) => !first.has(folder)) };
}

function joined({ before, after }: NonNullable<EnvVariable["path"]>, current: string | undefined): string {
  return [...before, ...(current ? [current] : []), ...after].join(":");
}

// An empty last element makes `man` also search its default folders.
const withSystem = (name: string, value: string): string =>
  name === "MANPATH" && !value.endsWith(":") ? `${value}:` : value;
