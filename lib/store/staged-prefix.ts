// Creates a prefix beside its final place and renames it once complete; renames an old one out of its place before it
// is removed. So a prefix is complete or absent at any moment; see protocol.ts for the order of steps.
import { chmod, lstat, mkdir, rename } from "node:fs/promises";
import { fileError, systemCode } from "../errors.ts";
import type { Permissions } from "../spack/config/settings.ts";
import type { Store } from "../spack/store/store.ts";
import { makeParents, type PrefixPlace, placeInStore, removeTree } from "./prefix-place.ts";

/** The place of one prefix, and what lies beside it. The caller holds the locks that protocol.ts requires. */
export class StagedPrefix {
  /** Where a new prefix is created. */
  readonly directory: string;
  /** The recorded prefix, which its files refer to. */
  readonly prefix: string;
  readonly #place: PrefixPlace;
  // Where an old prefix is moved.
  readonly #aside: string;

  private constructor(place: PrefixPlace, hash: string) {
    this.#place = place;
    this.prefix = place.prefix;
    this.directory = `${place.parent}/.stave-new-${hash}-${place.name}`;
    this.#aside = `${place.parent}/.stave-old-${hash}-${place.name}`;
  }

  /** The place of a spec's prefix. Throws FILE_SYSTEM if it is not inside the store. */
  static async at(store: Pick<Store, "root" | "locate">, hash: string, prefix: string): Promise<StagedPrefix> {
    return new StagedPrefix(await placeInStore(store, prefix), hash);
  }

  /** Creates an empty folder for the new prefix, and removes what was staged before. Throws FILE_SYSTEM. */
  async stage(mode: number): Promise<void> {
    await makeParents(this.#place.parent);
    await this.discard();
    try {
      await mkdir(this.directory);
      // Set separately, because the umask clears bits of mkdir's mode.
      await chmod(this.directory, mode);
    } catch (cause) {
      throw fileError(cause, "make folder", this.directory);
    }
  }

  /** Renames the staged folder, or a folder inside it, to its place, which must be free. Throws FILE_SYSTEM. */
  async commit(inner: string = this.directory): Promise<void> {
    await move(inner, this.#final, "move into place");
  }

  /** Renames an existing prefix out of its place; returns false if there is none. Throws FILE_SYSTEM. */
  async moveAside(): Promise<boolean> {
    if (!(await exists(this.#final))) return false;
    // One that was moved before and never removed is older.
    if (await exists(this.#aside)) await removeTree(this.#aside);
    await move(this.#final, this.#aside, "remove");
    return true;
  }

  /** Moves the old prefix back, if nothing took its place. Throws FILE_SYSTEM. */
  async moveBack(): Promise<void> {
    if ((await exists(this.#aside)) && !(await exists(this.#final))) await move(this.#aside, this.#final, "move back");
  }

  /** Removes what was staged and not committed. Throws FILE_SYSTEM. */
  async discard(): Promise<void> {
    if (await exists(this.directory)) await removeTree(this.directory);
  }

  /** Removes everything beside the place. Throws FILE_SYSTEM. */
  async clear(): Promise<void> {
    await this.discard();
    if (await exists(this.#aside)) await removeTree(this.#aside);
  }

  get #final(): string {
    return `${this.#place.parent}/${this.#place.name}`;
  }
}

async function move(from: string, to: string, what: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (cause) {
    throw fileError(cause, what, to);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw fileError(cause, "read", path);
  }
}

/** The mode of a prefix's folders (Spack `package_prefs.py`): read permission implies permission to enter. */
export function directoryMode({ read, write, allowSetgid }: Permissions): number {
  let mode = 0o700;
  if (read !== "user") mode |= read === "group" ? 0o050 : 0o055;
  if (write !== "user") mode |= write === "group" ? 0o020 : 0o022;
  return allowSetgid && (mode & 0o070) !== 0 ? mode | 0o2000 : mode;
}
