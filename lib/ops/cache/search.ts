// `search`: the packages whose name or description contains a text, from the specs of caches.
import { MATCHES, matchOf, type NameMatch } from "../../spack/query/similar-names.ts";
import type { ListedSpec } from "./list.ts";

/** One package that was found. */
export interface FoundPackage {
  readonly name: string;
  /** How it matches: by its name, the best first, else by its description. */
  readonly match: NameMatch | "description";
  /** Its versions, the newest first. */
  readonly versions: readonly string[];
  /** How many specs of it the caches have. */
  readonly specs: number;
  /** The first paragraph of its description, if an installed spec has a copy of the recipe. */
  readonly description: string | undefined;
}

/** The report of `search`. */
export interface SearchReport {
  /** The name of the cache; several are separated by commas. */
  readonly cache: string;
  readonly text: string;
  /** The best first. */
  readonly packages: readonly FoundPackage[];
  /** How many specs were not looked at, because they are for other kinds of machines. */
  readonly otherArchitectures: number;
}

const ORDER: readonly string[] = [...MATCHES, "description"];

/** Finds packages among listed specs, which are sorted by name and version. */
export function searchPackages(
  specs: readonly ListedSpec[],
  text: string,
  descriptions: ReadonlyMap<string, string>,
): FoundPackage[] {
  const found: FoundPackage[] = [];
  const wanted = text.toLowerCase();
  for (const [name, rows] of Map.groupBy(specs, (spec) => spec.name)) {
    const description = descriptions.get(name);
    const match = matchOf(text, name) ?? (description?.toLowerCase().includes(wanted) ? "description" : undefined);
    if (match === undefined) continue;
    const versions = [...new Set(rows.map(({ version }) => version))].toReversed();
    found.push({ name, match, versions, specs: rows.length, description });
  }
  return found.toSorted((a, b) => ORDER.indexOf(a.match) - ORDER.indexOf(b.match) || (a.name < b.name ? -1 : 1));
}
