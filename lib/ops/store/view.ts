// `view`: one tree of links to the files of several prefixes (Spack `filesystem_view.py` and `llnl/util/link_tree.py`).
import { type BigIntStats, type Dirent, lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { link, mkdir, rm, symlink } from "node:fs/promises";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { environmentOrder } from "../../spack/spec/spec-orders.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import type { Store } from "../../spack/store/store.ts";
import { type ByteString, bytesOfText, compareNames, fsPath, shownName } from "../../util/byte-string.ts";
import { makeFolder } from "../../util/folder.ts";
import { kindAt } from "../../util/inspect-path.ts";

/** The options of a view. */
export interface ViewOptions {
  readonly store: Store;
  /** The folder of the view; created if it does not exist. */
  readonly directory: string;
  /** The specs, in order of precedence. */
  readonly roots: readonly SpecNode[];
  /** Include link and run dependencies. */
  readonly dependencies: boolean;
  /** Symbolic links to the recorded paths, or hard links. */
  readonly kind: "symlink" | "hardlink";
  /** Fail if two specs have a file at the same path; otherwise the first one wins. */
  readonly strict: boolean;
  /** Report what would be linked, and write nothing. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A path for which two prefixes have a file. */
export interface ViewConflict {
  /** Relative to the view, made printable. */
  readonly path: string;
  /** The recorded path that the view links to. */
  readonly shown: string;
  readonly hidden: string;
}

/** The report of `view`. */
export interface ViewReport {
  readonly directory: string;
  /** DAG hashes, dependents first. */
  readonly specs: readonly string[];
  /** How many links the view has, and how many of them are new. */
  readonly links: number;
  readonly made: number;
  readonly conflicts: readonly ViewConflict[];
}

/**
 * Makes or updates a view. Existing files stay, except links into the store. Throws CONFLICT, before it creates
 * anything, for two specs of one name, for a file where another prefix has a folder, for other files in the way, and
 * with `strict` for two files at the same path; SPEC_NOT_INSTALLED, FILE_SYSTEM.
 */
export async function view(options: ViewOptions): Promise<ViewReport> {
  const { store, directory, roots, kind, strict, signal } = options;
  const order = options.dependencies ? environmentOrder(roots) : [...roots];
  const nodes = order.filter((node) => node.external === undefined);
  checkNames(nodes);
  const merge = new Merge(store);
  for (const node of nodes) merge.add(prefixOf(store, node), "");
  for (const node of nodes) merge.addMetadata(prefixOf(store, node), node.name);
  if (strict && merge.conflicts.length > 0) throw conflict(merge.conflicts);
  const target = new Destination(directory, bytesOfText(store.root), kind);
  const todo = target.plan(merge);
  let links = 0;
  for (const { isFolder } of merge.entries.values()) if (!isFolder) links++;
  if (!options.dryRun) await target.prepare();
  for (const step of options.dryRun ? [] : todo) {
    signal?.throwIfAborted();
    await target.make(step);
  }
  const made = todo.filter(({ entry }) => !entry.isFolder).length;
  const conflicts = merge.conflicts.map(shownConflict);
  return { directory, specs: nodes.map(({ hash }) => hash), links, made, conflicts };
}

function prefixOf(store: Store, node: SpecNode): string {
  const record = store.get(node.hash);
  if (record?.installed && record.path !== null) return record.path;
  throw new StaveError("SPEC_NOT_INSTALLED", `${shortName(node)} is not installed`, {
    subject: node.hash,
    hint: "install it first, or use `dependencies: false`",
  });
}

function checkNames(nodes: readonly SpecNode[]): void {
  const seen = new Map<string, SpecNode>();
  for (const node of nodes) {
    const other = seen.get(node.name);
    if (other !== undefined)
      throw new StaveError("CONFLICT", `${shortName(other)} and ${shortName(node)} cannot be in one view`, {
        subject: node.hash,
        hint: "make two views, or choose compatible specs",
      });
    seen.set(node.name, node);
  }
}

/**
 * Maximum number of entries of a view that links inside one prefix may lead to: a thousand links to their own folder
 * would give a billion.
 */
export const MOST_THROUGH_LINKS = 300_000;

interface Entry {
  readonly isFolder: boolean;
  /** The recorded path. */
  readonly source: ByteString;
  /** The actual path on this machine. */
  readonly place: ByteString;
}

interface Clash {
  readonly path: ByteString;
  readonly shown: ByteString;
  readonly hidden: ByteString;
}

interface Walk {
  readonly depth: number;
  /** True below a prefix, except in its metadata. */
  readonly isPrefix: boolean;
  /** True if a link led here. */
  readonly isLink: boolean;
}

// The planned content of the view, by relative path; folders before their content.
class Merge {
  readonly entries = new Map<ByteString, Entry>();
  readonly conflicts: Clash[] = [];
  readonly #store: Store;
  #throughLinks = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Adds the content of a recorded folder at a path in the view, without the metadata of specs, which is added
   * separately.
   */
  add(recorded: string, at: string): void {
    const source = bytesOfText(recorded);
    const place = bytesOfText(this.#store.locate(recorded));
    let path = "";
    for (const part of at === "" ? [] : bytesOfText(at).split("/")) {
      path = path === "" ? part : `${path}/${part}`;
      this.#folder(path, { isFolder: true, source, place });
    }
    this.#throughLinks = 0;
    this.#walk({ isFolder: true, source, place }, path, { depth: 0, isPrefix: at === "", isLink: false });
  }

  /** Adds the metadata of a spec. Does not follow a link in its place. */
  addMetadata(prefix: string, name: string): void {
    const recorded = `${prefix}/${METADATA_FOLDER}`;
    if (
      kindAt(this.#store.locate(prefix)) === "folder" &&
      lstatOf(bytesOfText(this.#store.locate(recorded)))?.isSymbolicLink()
    )
      throw new StaveError("ARCHIVE_UNSAFE", `${shownName(bytesOfText(recorded))} is a link`, {
        subject: prefix,
        hint: "it was not made by Spack or stave; install the spec again",
      });
    this.add(recorded, `${METADATA_FOLDER}/${name}`);
  }

  #walk(folder: Entry, path: ByteString, { depth, isPrefix, isLink }: Walk): void {
    for (const { name, type } of entriesOf(folder.place)) {
      if (isLink && ++this.#throughLinks > MOST_THROUGH_LINKS) throw tooManyLinks(folder);
      if (isPrefix && name === METADATA_FOLDER) continue;
      const inner: Entry = {
        isFolder: type === "directory" || (type === "symlink" && depth <= 1 && this.#leadsDeeper(folder, name)),
        source: `${folder.source}/${name}`,
        place: `${folder.place}/${name}`,
      };
      const where = path === "" ? name : `${path}/${name}`;
      if (!inner.isFolder) this.#file(where, inner, type === "symlink");
      else if (this.#folder(where, inner))
        this.#walk(inner, where, { depth: depth + 1, isPrefix, isLink: isLink || type === "symlink" });
    }
  }

  // A link to a sibling folder may become a folder of the view and be merged with others. Spack does this only near the
  // top, where it matters.
  #leadsDeeper(folder: Entry, name: ByteString): boolean {
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

  #folder(path: ByteString, entry: Entry): boolean {
    const known = this.entries.get(path);
    if (known?.isFolder) return true;
    if (known !== undefined && !this.#isSame(known, entry)) throw conflict([clashOf(path, known, entry)]);
    // The folder itself replaces a link to it.
    this.entries.delete(path);
    this.entries.set(path, entry);
    return true;
  }

  #file(path: ByteString, entry: Entry, isLink: boolean): void {
    const known = this.entries.get(path);
    if (known === undefined) this.entries.set(path, entry);
    else if (this.#isSame(known, entry)) {
      // If two entries are the same file, prefer the one that is not a link.
      if (!known.isFolder && !isLink) this.entries.set(path, entry);
    } else if (known.isFolder) throw conflict([clashOf(path, known, entry)]);
    else this.conflicts.push(clashOf(path, known, entry));
  }

  #isSame(a: Entry, b: Entry): boolean {
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

interface Step {
  readonly path: ByteString;
  readonly entry: Entry;
  /** A link into the store exists and is replaced. */
  readonly replaces: boolean;
}

// The existing folder of the view, and the changes to it.
class Destination {
  readonly #directory: string;
  readonly #base: ByteString;
  readonly #root: ByteString;
  readonly #kind: ViewOptions["kind"];

  constructor(directory: string, root: ByteString, kind: ViewOptions["kind"]) {
    this.#directory = directory;
    this.#base = bytesOfText(directory);
    this.#root = root;
    this.#kind = kind;
  }

  /** What must be created; throws CONFLICT if something is in the way. */
  plan({ entries }: Merge): Step[] {
    const steps: Step[] = [];
    const foreign: ByteString[] = [];
    let links = 0;
    for (const [path, entry] of entries) {
      const there = lstatOf(`${this.#base}/${path}`);
      if (there === undefined) steps.push({ path, entry, replaces: false });
      else if (entry.isFolder && there.isDirectory()) continue;
      else if (!entry.isFolder && this.#isIt(path, entry, there)) links++;
      else if (this.#isOurs(path, there)) {
        steps.push({ path, entry, replaces: true });
        links++;
      } else foreign.push(path);
    }
    const [first] = foreign;
    if (first === undefined) {
      if (links === 0) this.#refuseOther();
      return steps;
    }
    const are = foreign.length > 1 ? `and ${foreign.length - 1} more are` : "is";
    throw new StaveError("CONFLICT", `${shownName(`${this.#base}/${first}`)} ${are} in the way of the view`, {
      subject: this.#directory,
      hint: "it was not made by a view; move it away, or choose another folder",
    });
  }

  // A folder with neither a link of this view nor any spec's metadata is not a view: its contents belong to someone
  // else.
  #refuseOther(): void {
    if (kindAt(this.#directory) !== "folder") return;
    const names = readdirSync(this.#directory);
    const [first] = names;
    if (first === undefined || names.includes(METADATA_FOLDER)) return;
    const more = names.length > 1 ? ` and ${names.length - 1} more` : "";
    throw new StaveError(
      "CONFLICT",
      `${this.#directory} is not a view, but has other contents: ${printable(first)}${more}`,
      {
        subject: this.#directory,
        hint: "choose an empty folder, or one that does not exist",
      },
    );
  }

  async prepare(): Promise<void> {
    try {
      makeFolder(this.#directory);
    } catch (cause) {
      throw fileError(cause, "make folder", this.#directory);
    }
  }

  async make({ path, entry, replaces }: Step): Promise<void> {
    const place = fsPath(`${this.#base}/${path}`);
    try {
      if (replaces) await rm(place);
      if (entry.isFolder) await mkdir(place);
      else if (this.#kind === "symlink") await symlink(fsPath(entry.source), place);
      else await link(fsPath(entry.place), place);
    } catch (cause) {
      const error = fileError(cause, "make", shownName(`${this.#base}/${path}`));
      throw systemCode(cause) === "EXDEV"
        ? error.with({ hint: "the store is on another file system; leave out `kind: hardlink`" })
        : error;
    }
  }

  #isIt(path: ByteString, entry: Entry, there: BigIntStats): boolean {
    if (this.#kind === "symlink") return this.#targetOf(path, there) === entry.source;
    const file = lstatOf(entry.place);
    return file !== undefined && file.dev === there.dev && file.ino === there.ino;
  }

  #isOurs(path: ByteString, there: BigIntStats): boolean {
    return this.#targetOf(path, there)?.startsWith(`${this.#root}/`) ?? false;
  }

  #targetOf(path: ByteString, there: BigIntStats): ByteString | undefined {
    return there.isSymbolicLink() ? readlinkSync(fsPath(`${this.#base}/${path}`), "latin1") : undefined;
  }
}

function tooManyLinks({ source }: Entry): StaveError {
  return new StaveError("TOO_LARGE", `links lead to more than ${MOST_THROUGH_LINKS} files at ${shownName(source)}`, {
    hint: "leave that spec out of the view",
  });
}

function lstatOf(place: ByteString): BigIntStats | undefined {
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

const clashOf = (path: ByteString, shown: Entry, hidden: Entry): Clash => ({
  path,
  shown: shown.source,
  hidden: hidden.source,
});

const shownConflict = ({ path, shown, hidden }: Clash): ViewConflict => ({
  path: shownName(path),
  shown: shownName(shown),
  hidden: shownName(hidden),
});

function conflict(clashes: readonly Clash[]): StaveError {
  const [first] = clashes.map(shownConflict);
  const others = clashes.length - 1;
  const more = others > 0 ? `, and ${others} more ${others === 1 ? "place" : "places"}` : "";
  return new StaveError("CONFLICT", `${first?.shown} and ${first?.hidden} are both ${first?.path} in the view${more}`, {
    hint: "leave one of the specs out",
  });
}
