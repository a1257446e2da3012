// Creates a prefix beside its final place and renames it once complete; renames an old one out of its place before it
// is removed. So a prefix is complete or absent at any moment; see protocol.ts for the order of steps.
//
// In a store that several people write to, another user may exchange a folder for a link at any moment. So each step
// opens the root of the store and reaches everything from there without following a link.
import { fileError, StaveError } from "../errors.ts";
import type { Permissions } from "../spack/config/settings.ts";
import type { Store } from "../spack/store/store.ts";
import { type ByteString, bytesOfText } from "../util/byte-string.ts";
import { HeldTree } from "../util/held-tree.ts";
import { removeTree } from "../util/remove-tree.ts";
import { findPlace, makeParents, type PrefixPlace, placeInStore } from "./prefix-place.ts";

/** The place of one prefix, and what lies beside it. The caller holds the locks that protocol.ts requires. */
export class StagedPrefix {
  /** Where a new prefix is created. */
  readonly directory: string;
  /** The recorded prefix, which its files refer to. */
  readonly prefix: string;
  readonly #root: string;
  // Below the root: the parent folder, the prefix, where a new one is created, and where an old one is moved.
  readonly #parent: ByteString;
  readonly #final: ByteString;
  readonly #new: ByteString;
  readonly #aside: ByteString;

  private constructor({ root, parent, name, prefix }: PrefixPlace, hash: string) {
    const below = (last: string): ByteString => bytesOfText(`${parent}/${last}`.slice(root.length).replace(/^\/+/, ""));
    this.prefix = prefix;
    this.directory = `${parent}/.stave-new-${hash}-${name}`;
    this.#root = root;
    this.#parent = bytesOfText(parent.slice(root.length).replace(/^\/+/, ""));
    this.#final = below(name);
    this.#new = below(`.stave-new-${hash}-${name}`);
    this.#aside = below(`.stave-old-${hash}-${name}`);
  }

  /** The place of a spec's prefix. Throws FILE_SYSTEM if it is not inside the store, and as placeInStore. */
  static async at(store: Pick<Store, "root" | "locate">, hash: string, prefix: string): Promise<StagedPrefix> {
    return new StagedPrefix(await placeInStore(store, prefix), hash);
  }

  /** As `at`, but undefined if the prefix is not inside the store. */
  static async ifInside(
    store: Pick<Store, "root" | "locate">,
    hash: string,
    prefix: string,
  ): Promise<StagedPrefix | undefined> {
    const place = await findPlace(store, prefix);
    return "outside" in place ? undefined : new StagedPrefix(place, hash);
  }

  /**
   * Creates an empty folder for the new prefix, and removes what was staged before. Throws ARCHIVE_UNSAFE and
   * FILE_SYSTEM.
   */
  async stage(mode: number): Promise<void> {
    using tree = this.#open();
    try {
      makeParents(tree, this.#parent);
      await removeTree(tree, this.#new);
      tree.makeFolder(this.#new);
      // Set separately, because the umask clears bits of mkdir's mode.
      tree.chmod(this.#new, mode);
    } catch (cause) {
      throw fileError(cause, "make folder", this.directory);
    }
  }

  /**
   * Renames the staged folder, or a folder inside it, to its place, which must be free. Throws ARCHIVE_UNSAFE and
   * FILE_SYSTEM.
   */
  async commit(inner: string = this.directory): Promise<void> {
    using tree = this.#open();
    const from = `${this.#new}${bytesOfText(inner.slice(this.directory.length))}`;
    try {
      if (tree.stats(from)?.isDirectory() === false)
        throw new StaveError("ARCHIVE_UNSAFE", `${inner} is no longer a folder`, { subject: inner });
      tree.move(from, this.#final);
    } catch (cause) {
      throw fileError(cause, "move into place", this.prefix);
    }
  }

  /**
   * Renames an existing prefix out of its place; returns false if there is none. Throws ARCHIVE_UNSAFE and FILE_SYSTEM.
   */
  async moveAside(): Promise<boolean> {
    using tree = this.#open();
    if (!this.#has(tree, this.#final)) return false;
    // One that was moved before and never removed is older.
    await removeTree(tree, this.#aside);
    tree.move(this.#final, this.#aside);
    return true;
  }

  /** Moves the old prefix back, if nothing took its place. Throws ARCHIVE_UNSAFE and FILE_SYSTEM. */
  async moveBack(): Promise<void> {
    using tree = this.#open();
    if (this.#has(tree, this.#aside) && !this.#has(tree, this.#final)) tree.move(this.#aside, this.#final);
  }

  /** Removes what was staged and not committed. Throws ARCHIVE_UNSAFE and FILE_SYSTEM. */
  async discard(): Promise<void> {
    using tree = this.#open();
    await removeTree(tree, this.#new);
  }

  /** Removes everything beside the place. Throws ARCHIVE_UNSAFE and FILE_SYSTEM. */
  async clear(): Promise<void> {
    using tree = this.#open();
    await removeTree(tree, this.#new);
    await removeTree(tree, this.#aside);
  }

  #open(): HeldTree {
    return new HeldTree(this.#root);
  }

  #has(tree: HeldTree, path: ByteString): boolean {
    try {
      return tree.stats(path) !== undefined;
    } catch (cause) {
      throw fileError(cause, "read", this.prefix);
    }
  }
}

/** The mode of a prefix's folders (Spack `package_prefs.py`): read permission implies permission to enter. */
export function directoryMode({ read, write, allowSetgid }: Permissions): number {
  let mode = 0o700;
  if (read !== "user") mode |= read === "group" ? 0o050 : 0o055;
  if (write !== "user") mode |= write === "group" ? 0o020 : 0o022;
  return allowSetgid && (mode & 0o070) !== 0 ? mode | 0o2000 : mode;
}
