// Searches the names of packages: a few thousand texts need no index.
import type { PackageRow } from "../lib/catalogue/catalogue-data.ts";

/** What was typed: a name, what else a spec must have, or the start of a hash. */
export interface SearchText {
  readonly name: string;
  /** Of `hdf5@1.14 +mpi` all after the name. */
  readonly rest: string;
  /** Of `/abc123` the letters. */
  readonly hash: string | undefined;
}

/** Reads what was typed. */
export function parseSearch(text: string): SearchText {
  const trimmed = text.trim().toLowerCase();
  const [, hash] = /^(?:[\w.-]*)\/([a-z2-7]*)$/.exec(trimmed) ?? [];
  const at = trimmed.search(/[@%+~\s/]/);
  return at < 0
    ? { name: trimmed, rest: "", hash }
    : { name: trimmed.slice(0, at), rest: trimmed.slice(at).replace(/^@/, "").trim(), hash };
}

/** Packages whose name contains a text: the name itself, then names that start with it or with one of its words. */
export function findPackages(packages: readonly PackageRow[], name: string): readonly PackageRow[] {
  // What is only known as a dependency is found by its name alone.
  if (name === "") return packages.filter(([, specs]) => specs > 0);
  const ranks: PackageRow[][] = [[], [], [], []];
  for (const row of packages) {
    const found = row[0].toLowerCase();
    if (!found.includes(name)) continue;
    if (found === name) ranks[0]?.push(row);
    else if (found.startsWith(name)) ranks[1]?.push(row);
    else ranks[found.includes(`-${name}`) ? 2 : 3]?.push(row);
  }
  return ranks.flat();
}

/** True if all words of a filter are in one of the texts. */
export function matchesAll(filter: string, texts: readonly string[]): boolean {
  const words = filter.toLowerCase().split(/\s+/);
  const all = texts.join(" ").toLowerCase();
  return words.every((word) => all.includes(word));
}
