// The entries of a prefix that an archive gets: all, or for a slim image those that running programs need.
import { type ContentKind, contentKind } from "../content-kind.ts";
import { type PrefixLocation, type SkippedEntry, type WalkEntry, walkPrefix } from "./prefix-walk.ts";

/** A prefix, and what to leave out of it. */
export interface KeptLocation extends PrefixLocation {
  /** The kinds of files to leave out; the archive is then one to run, which cannot be installed. */
  readonly omit?: readonly ContentKind[] | undefined;
}

/** Walks the entries that are kept. Folders of which nothing is left are left out too. Throws as `walkPrefix` does. */
export function keptEntries(location: KeptLocation, onSkipped?: (entry: SkippedEntry) => void): Iterable<WalkEntry> {
  const { omit = [] } = location;
  const all = walkPrefix(location, onSkipped);
  return omit.length === 0 ? all : without(all, omit);
}

/** True if a file at this path below a prefix is left out. */
export function isOmitted(relative: string, omit: readonly ContentKind[]): boolean {
  // The kinds that may be left out follow from the path alone.
  return omit.includes(contentKind({ path: `/${relative}`, elf: undefined, isExecutable: false }));
}

function* without(entries: Iterable<WalkEntry>, omit: readonly ContentKind[]): Generator<WalkEntry> {
  const all = [...entries];
  const emptied = new Set<string>();
  const needed = new Set<string>();
  const kept = all.filter(({ type, relative }) => {
    if (type === "directory" || relative === undefined) return true;
    const isKept = !isOmitted(relative, omit);
    for (let slash = relative.lastIndexOf("/"); slash > 0; slash = relative.lastIndexOf("/", slash - 1))
      (isKept ? needed : emptied).add(relative.slice(0, slash));
    return isKept;
  });
  for (const entry of kept) {
    const { type, relative = "" } = entry;
    if (type !== "directory" || needed.has(relative) || !emptied.has(relative)) yield entry;
  }
}
