// The folder of a view on disk: what exists there, and the changes that make it the view.
import { type BigIntStats, readdirSync, readlinkSync } from "node:fs";
import { link, mkdir, rm, symlink } from "node:fs/promises";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { METADATA_FOLDER } from "../../spack/store/prefix-metadata.ts";
import { type ByteString, bytesOfText, fsPath, shownName } from "../../util/byte-string.ts";
import { makeFolder } from "../../util/folder.ts";
import { kindAt } from "../../util/inspect-path.ts";
import { lstatOf, type MergedView, type ViewEntry } from "./view-merge.ts";

/** Symbolic links to the recorded paths, or hard links. */
export type ViewKind = "symlink" | "hardlink";

/** An entry of a view to make. */
export interface ViewStep {
  readonly path: ByteString;
  readonly entry: ViewEntry;
  /** A link into the store exists and is replaced. */
  readonly replaces: boolean;
}

/** The existing folder of the view, and the changes to it. */
export class ViewFolder {
  readonly #directory: string;
  readonly #base: ByteString;
  readonly #root: ByteString;
  readonly #kind: ViewKind;

  constructor(directory: string, root: ByteString, kind: ViewKind) {
    this.#directory = directory;
    this.#base = bytesOfText(directory);
    this.#root = root;
    this.#kind = kind;
  }

  /** What must be created; throws CONFLICT if something is in the way. */
  plan({ entries }: MergedView): ViewStep[] {
    const steps: ViewStep[] = [];
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

  /** Makes the folder itself. */
  async prepare(): Promise<void> {
    try {
      makeFolder(this.#directory);
    } catch (cause) {
      throw fileError(cause, "make folder", this.#directory);
    }
  }

  /** Carries out a step. */
  async make({ path, entry, replaces }: ViewStep): Promise<void> {
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

  #isIt(path: ByteString, entry: ViewEntry, there: BigIntStats): boolean {
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
