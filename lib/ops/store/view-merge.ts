// The content of a view: the files of several prefixes merged into one tree (Spack `filesystem_view.py` and
// `llnl/util/link_tree.py`). Reads folders only; what is made of it is up to others.
import { type BigIntStats, type Dirent, lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import type { ViewedSpec } from "../../spack/environment/view-specs.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import type { Store } from "../../spack/store/store.ts";
import { type ByteString, bytesOfText, compareNames, fsPath, shownName } from "../../util/byte-string.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** A path for which two prefixes have a file. */
export interface ViewConflict {
  /** Relative to the view, made printable. */
  readonly path: string;
  /** The recorded path that the view links to. */
  readonly shown: string;
  readonly hidden: string;
}

/**
 * Merges the prefixes of specs, in order of precedence; externals have none of ours. Throws CONFLICT for two specs of
 * one name at one place, and for a file where another prefix has a folder; SPEC_NOT_INSTALLED, FILE_SYSTEM.
 */
export function mergeView(
  store: Store,
  specs: readonly ViewedSpec[],
  isOmitted: (node: SpecNode, relative: ByteString) => boolean = () => false,
): MergedView {
  const built = specs.filter(({ node }) => node.external === undefined);
  checkNames(built);
  const merged = new MergedView(store);
  for (const { node, at } of built)
    merged.add(prefixOf(store, node), at, { isPrefix: true, isOmitted: (relative) => isOmitted(node, relative) });
  return merged;
}

/** Adds the metadata of the specs, which views on disk have. Throws ARCHIVE_UNSAFE for a link in its place. */
export function mergeMetadata(store: Store, merged: MergedView, specs: readonly ViewedSpec[]): void {
  for (const { node, at } of specs)
    if (node.external === undefined) merged.addMetadata(prefixOf(store, node), node.name, at);
}

/**
 * Maximum number of entries of a view that links inside one prefix may lead to: a thousand links to their own folder
 * would give a billion.
 */
export const MOST_THROUGH_LINKS = 300_000;

/** A folder of the view, or a link to a file. */
export interface ViewEntry {
  readonly isFolder: boolean;
  /** The recorded path. */
  readonly source: ByteString;
  /** The actual path on this machine. */
  readonly place: ByteString;
}

/** A path for which two prefixes have a file, as bytes. */
export interface ViewClash {
  readonly path: ByteString;
  readonly shown: ByteString;
  readonly hidden: ByteString;
}

interface AddOptions {
  /** It is a prefix, whose metadata is left out. */
  readonly isPrefix?: boolean;
  /** True for files that are left out, by their path below the folder. */
  readonly isOmitted?: ((relative: ByteString) => boolean) | undefined;
}

interface Walk {
  readonly depth: number;
  /** True below a prefix, except in its metadata. */
  readonly isPrefix: boolean;
  /** True if a link led here. */
  readonly isLink: boolean;
  readonly isOmitted: AddOptions["isOmitted"];
  /** The path below the prefix. */
  readonly below: ByteString;
}

/** The planned content of a view, by relative path; folders before their content. */
export class MergedView {
  readonly entries = new Map<ByteString, ViewEntry>();
  readonly conflicts: ViewClash[] = [];
  readonly #store: Store;
  #throughLinks = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Adds the content of a recorded folder at a path in the view; of a prefix without its metadata. */
  add(recorded: string, at: string, { isPrefix, isOmitted }: AddOptions = {}): void {
    const source = bytesOfText(recorded);
    const place = bytesOfText(this.#store.locate(recorded));
    let path = "";
    for (const part of at === "" ? [] : bytesOfText(at).split("/")) {
      path = path === "" ? part : `${path}/${part}`;
      this.#folder(path, { isFolder: true, source, place });
    }
    this.#throughLinks = 0;
    this.#walk({ isFolder: true, source, place }, path, {
      depth: 0,
      isPrefix: isPrefix === true,
      isLink: false,
      isOmitted,
      below: "",
    });
  }

  /** Adds the metadata of a spec whose files are at a path. Does not follow a link in its place. */
  addMetadata(prefix: string, name: string, at: string): void {
    const recorded = `${prefix}/${METADATA_FOLDER}`;
    if (
      kindAt(this.#store.locate(prefix)) === "folder" &&
      lstatOf(bytesOfText(this.#store.locate(recorded)))?.isSymbolicLink()
    )
      throw new StaveError("ARCHIVE_UNSAFE", `${shownName(bytesOfText(recorded))} is a link`, {
        subject: prefix,
        hint: "it was not made by Spack or stave; install the spec again",
      });
    this.add(recorded, `${at === "" ? "" : `${at}/`}${METADATA_FOLDER}/${name}`);
  }

  #walk(folder: ViewEntry, path: ByteString, walk: Walk): void {
    const { depth, isPrefix, isLink, isOmitted } = walk;
    for (const { name, type } of entriesOf(folder.place)) {
      if (isLink && ++this.#throughLinks > MOST_THROUGH_LINKS) throw tooManyLinks(folder);
      if (isPrefix && name === METADATA_FOLDER) continue;
      const inner: ViewEntry = {
        isFolder: type === "directory" || (type === "symlink" && depth <= 1 && this.#leadsDeeper(folder, name)),
        source: `${folder.source}/${name}`,
        place: `${folder.place}/${name}`,
      };
      const where = path === "" ? name : `${path}/${name}`;
      const below = walk.below === "" ? name : `${walk.below}/${name}`;
      if (!inner.isFolder) {
        if (!isOmitted?.(below)) this.#file(where, inner, type === "symlink");
      } else if (this.#folder(where, inner))
        this.#walk(inner, where, { ...walk, depth: depth + 1, isLink: isLink || type === "symlink", below });
    }
  }

  // A link to a sibling folder may become a folder of the view and be merged with others. Spack does this only near the
  // top, where it matters.
  #leadsDeeper(folder: ViewEntry, name: ByteString): boolean {
    const parent = this.#real(folder.source, folder.place);
    const child = this.#real(`${folder.source}/${name}`, `${folder.place}/${name}`);
    if (parent === undefined || child === undefined) return false;
    if (child !== parent && !child.startsWith(`${parent}/`)) return false;
    return kindAt(fsPath(child)) === "folder";
  }

  #real(source: ByteString, place: ByteString): ByteString | undefined {
    try {
      if (this.#store.sysroot === undefined) return realpathSync(fsPath(place), "latin1");
      return bytesOfText(this.#store.locate(Buffer.from(source, "latin1").toString("utf8")));
    } catch {
      // The link is broken.
      return undefined;
    }
  }

  #folder(path: ByteString, entry: ViewEntry): boolean {
    const known = this.entries.get(path);
    if (known?.isFolder) return true;
    if (known !== undefined && !this.#isSame(known, entry)) throw conflict([clashOf(path, known, entry)]);
    // The folder itself replaces a link to it.
    this.entries.delete(path);
    this.entries.set(path, entry);
    return true;
  }

  #file(path: ByteString, entry: ViewEntry, isLink: boolean): void {
    const known = this.entries.get(path);
    if (known === undefined) this.entries.set(path, entry);
    else if (this.#isSame(known, entry)) {
      // If two entries are the same file, prefer the one that is not a link.
      if (!known.isFolder && !isLink) this.entries.set(path, entry);
    } else if (known.isFolder) throw conflict([clashOf(path, known, entry)]);
    else this.conflicts.push(clashOf(path, known, entry));
  }

  #isSame(a: ViewEntry, b: ViewEntry): boolean {
    const [one, other] = [a, b].map(({ source, place }) => {
      const real = this.#real(source, place);
      try {
        return real === undefined ? undefined : statSync(fsPath(real), { bigint: true });
      } catch {
        // Missing or inaccessible: not the same as any other file.
        return undefined;
      }
    });
    return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
  }
}

function tooManyLinks({ source }: ViewEntry): StaveError {
  return new StaveError("TOO_LARGE", `links lead to more than ${MOST_THROUGH_LINKS} files at ${shownName(source)}`, {
    hint: "leave that spec out of the view",
  });
}

/** The stats of a path, itself and not what it links to; undefined if it does not exist. */
export function lstatOf(place: ByteString): BigIntStats | undefined {
  try {
    return lstatSync(fsPath(place), { bigint: true, throwIfNoEntry: false });
  } catch (cause) {
    // A file is where a folder must be; the check of the folder reports it.
    if (systemCode(cause) === "ENOTDIR") return undefined;
    throw fileError(cause, "read", shownName(place));
  }
}

function entriesOf(place: ByteString): { name: ByteString; type: "directory" | "symlink" | "file" }[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(fsPath(place), { withFileTypes: true, encoding: "latin1" });
  } catch (cause) {
    throw fileError(cause, "read folder", shownName(place));
  }
  return entries
    .toSorted((a, b) => compareNames(a.name, b.name))
    .map((entry) => ({
      name: entry.name,
      type: typeOf(entry),
    }));
}

function typeOf(entry: Pick<Dirent, "isDirectory" | "isSymbolicLink">): "directory" | "symlink" | "file" {
  if (entry.isDirectory()) return "directory";
  return entry.isSymbolicLink() ? "symlink" : "file";
}

const clashOf = (path: ByteString, shown: ViewEntry, hidden: ViewEntry): ViewClash => ({
  path,
  shown: shown.source,
  hidden: hidden.source,
});

/** The conflict of a report. */
export const shownConflict = ({ path, shown, hidden }: ViewClash): ViewConflict => ({
  path: shownName(path),
  shown: shownName(shown),
  hidden: shownName(hidden),
});

/** The error for conflicts that are refused. */
export function conflict(clashes: readonly ViewClash[]): StaveError {
  const [first] = clashes.map(shownConflict);
  const others = clashes.length - 1;
  const more = others > 0 ? `, and ${others} more ${others === 1 ? "place" : "places"}` : "";
  return new StaveError("CONFLICT", `${first?.shown} and ${first?.hidden} are both ${first?.path} in the view${more}`, {
    hint: "leave one of the specs out",
  });
}

function prefixOf(store: Store, node: SpecNode): string {
  const record = store.get(node.hash);
  if (record?.installed && record.path !== null) return record.path;
  throw new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is not installed`, {
    subject: node.hash,
    hint: "install it first, or use `dependencies: false`",
  });
}

// The metadata of a spec is at a path with only its name.
function checkNames(specs: readonly ViewedSpec[]): void {
  const seen = new Map<string, SpecNode>();
  for (const { node, at } of specs) {
    const key = `${at}/${node.name}`;
    const other = seen.get(key);
    if (other !== undefined)
      throw new StaveError("CONFLICT", `${shortName(other)} and ${shortName(node)} cannot be in one view`, {
        subject: node.hash,
        hint: "make two views, or choose compatible specs",
      });
    seen.set(key, node);
  }
}
