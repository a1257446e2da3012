// Ranks names by how well a text names them: for searches, and for what was probably meant.
import { isNear } from "../../util/typo.ts";

/** How a name matches, the best first. */
export const MATCHES: readonly NameMatch[] = ["exact", "prefix", "contains", "near"];

/** How a name matches. */
export type NameMatch = "exact" | "prefix" | "contains" | "near";

/** How a name matches a text; undefined if it does not. Letters of either case are the same. */
export function matchOf(text: string, name: string): NameMatch | undefined {
  const [wanted, given] = [text.toLowerCase(), name.toLowerCase()];
  if (given === wanted) return "exact";
  if (given.startsWith(wanted)) return "prefix";
  if (given.includes(wanted)) return "contains";
  return wanted.length > 2 && isNear(given, wanted) ? "near" : undefined;
}

/** The names that a text may mean, the best first, each once. */
export function similarNames(text: string, names: Iterable<string>): string[] {
  const found = new Map<string, number>();
  for (const name of new Set(names)) {
    const match = matchOf(text, name);
    if (match !== undefined) found.set(name, rank(match));
  }
  return [...found].toSorted(([a, one], [b, other]) => one - other || (a < b ? -1 : 1)).map(([name]) => name);
}

// A slip of the pen is more probable than a name that only contains the text.
const rank = (match: NameMatch): number => ({ exact: 0, near: 1, prefix: 2, contains: 3 })[match];
