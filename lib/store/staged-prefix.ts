// A prefix that is made beside its final place and renamed into it when it is complete, and one that is renamed out of its
// place before it is removed. So a prefix is whole or absent at any moment; see protocol.ts for the order of things.
import { chmod, lstat, mkdir, rename } from "node:fs/promises";
import { fileError, systemCode } from "../errors.ts";
import type { Permissions } from "../spack/config/settings.ts";
import type { Store } from "../spack/store/store.ts";
import { makeParents, type PrefixPlace, placeInStore, removeTree } from "./prefix-place.ts";

/** The place of one prefix, and what lies beside it. The caller has the locks that protocol.ts asks for. */
export class StagedPrefix {
  /** Where a new prefix is made. */
  readonly directory: string;
  /** The prefix that is recorded, and that files are to name. */
  readonly prefix: string;
  readonly #place: PrefixPlace;
  // What was moved out of the way.
  readonly #aside: string;

  private constructor(place: PrefixPlace, hash: string) {
    this.#place = place;
    this.prefix = place.prefix;
    this.directory = `${place.parent}/.stave-new-${hash}-${place.name}`;
    this.#aside = `${place.parent}/.stave-old-${hash}-${place.name}`;
  }

  /** The place of the prefix of a spec. Throws FILE_SYSTEM for one that is not inside the store. */
  static async at(store: Pick<Store, "root" | "locate">, hash: string, prefix: string): Promise<StagedPrefix> {
    return new StagedPrefix(await placeInStore(store, prefix), hash);
  }

  /** Makes an empty folder to be filled, in the place of what was staged before. Throws FILE_SYSTEM. */
  async stage(mode: number): Promise<void> {
    await makeParents(this.#place.parent);
    await this.discard();
    try {
      await mkdir(this.directory);
      // Apart, because the umask takes bits away.
      await chmod(this.directory, mode);
    } catch (cause) {
      throw fileError(cause, "make folder", this.directory);
    }
  }

  /** Renames what was staged, or a folder inside it, into its place, which is free. Throws FILE_SYSTEM. */
  async commit(inner: string = this.directory): Promise<void> {
    await move(inner, this.#final, "move into place");
  }

  /** Renames what is in its place out of it; tells whether there was anything. Throws FILE_SYSTEM. */
  async moveAside(): Promise<boolean> {
    if (!(await exists(this.#final))) return false;
    // What was moved before and never removed is older.
    if (await exists(this.#aside)) await removeTree(this.#aside);
    await move(this.#final, this.#aside, "remove");
    return true;
  }

  /** Puts back what was moved aside, if nothing took its place. Throws FILE_SYSTEM. */
  async moveBack(): Promise<void> {
    if ((await exists(this.#aside)) && !(await exists(this.#final))) await move(this.#aside, this.#final, "move back");
  }

  /** Removes what was staged and not committed. Throws FILE_SYSTEM. */
  async discard(): Promise<void> {
    if (await exists(this.directory)) await removeTree(this.directory);
  }

  /** Removes whatever lies beside the place. Throws FILE_SYSTEM. */
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

/** The mode of the folders of a prefix (Spack `package_prefs.py`): who may read may also enter. */
export function directoryMode({ read, write, allowSetgid }: Permissions): number {
  let mode = 0o700;
  if (read !== "user") mode |= read === "group" ? 0o050 : 0o055;
  if (write !== "user") mode |= write === "group" ? 0o020 : 0o022;
  return allowSetgid && (mode & 0o070) !== 0 ? mode | 0o2000 : mode;
}
