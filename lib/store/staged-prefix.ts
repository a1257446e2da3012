// A prefix that is made beside its final place and renamed into it when it is complete. Names tell what a killed run left,
// and of which spec, so that whoever has the lock of that spec can put it right.
import { chmod, lstat, mkdir, readdir, rename } from "node:fs/promises";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { shortName } from "../spack/name.ts";
import type { SpecNode } from "../spack/node.ts";
import type { Permissions } from "../spack/settings.ts";
import type { Store } from "../spack/store.ts";
import type { StoreLocks } from "./locks.ts";
import { makeParents, type PrefixPlace, placeInStore, removeTree } from "./place.ts";

/** How a prefix is staged. */
export interface StageOptions {
  /** The mode of the prefix (see directoryMode). */
  readonly mode: number;
  /** What is at the final place now may be replaced; otherwise that is an error. */
  readonly replace?: boolean;
}

// `new`: under way. `old`: what a new one replaces, until that is in its place. `gone`: about to be removed.
type Kind = "new" | "old" | "gone";
const LEFTOVER = /^\.stave-(new|old|gone)-([a-z2-7]{32})-([^/]+)$/;

const beside = ({ parent, name }: PrefixPlace, hash: string, kind: Kind): string =>
  `${parent}/.stave-${kind}-${hash}-${name}`;

/** A folder to be filled, and then to become the prefix of a spec. Dispose of it to remove what was not committed. */
export class StagedPrefix implements AsyncDisposable {
  /** Where to write. */
  readonly directory: string;
  /** The prefix that is recorded, and that files are to name. */
  readonly prefix: string;
  readonly #node: SpecNode;
  readonly #place: PrefixPlace;
  readonly #replace: boolean;
  #done = false;

  private constructor(node: SpecNode, place: PrefixPlace, replace: boolean) {
    this.#node = node;
    this.#place = place;
    this.#replace = replace;
    this.prefix = place.prefix;
    this.directory = beside(place, node.hash, "new");
  }

  /**
   * Makes an empty folder beside the prefix of a spec, after putting right what an earlier run left of it. The caller has
   * the exclusive lock of the spec. Throws FILE_SYSTEM, also for a prefix that is not inside the store, and CONFLICT when
   * something is in its place that may not be replaced.
   */
  static async create(store: Store, node: SpecNode, options: StageOptions): Promise<StagedPrefix> {
    const place = await placeInStore(store, store.prefixOf(node));
    await makeParents(place.parent);
    for (const kind of ["new", "old", "gone"] as const) await putRight(place, node.hash, kind);
    const staged = new StagedPrefix(node, place, options.replace ?? false);
    if (!staged.#replace && (await exists(staged.#final))) throw staged.#taken();
    try {
      await mkdir(staged.directory);
      // Apart, because the umask takes bits away.
      await chmod(staged.directory, options.mode);
    } catch (cause) {
      throw fileError(cause, "make folder", staged.directory);
    }
    return staged;
  }

  /**
   * Renames it into its place, or a folder inside it. What was there is removed afterwards, or is there again when that
   * failed.
   */
  async commit(inner: string = this.directory): Promise<void> {
    const final = this.#final;
    const old = beside(this.#place, this.#node.hash, "old");
    const isReplaced = await exists(final);
    if (isReplaced && !this.#replace) throw this.#taken();
    try {
      if (isReplaced) await rename(final, old);
      await rename(inner, final);
    } catch (cause) {
      await putRight(this.#place, this.#node.hash, "old");
      throw fileError(cause, "move into place", final);
    }
    if (inner === this.directory) this.#done = true;
    if (isReplaced) await removeTree(old);
  }

  /** Removes what was not committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await removeTree(this.directory);
  }

  get #final(): string {
    return `${this.#place.parent}/${this.#place.name}`;
  }

  #taken(): StaveError {
    return new StaveError("CONFLICT", `cannot install ${shortName(this.#node)}: ${this.#final} is there already`, {
      subject: this.#final,
      hint: "use --force to replace it",
    });
  }
}

/**
 * Removes the prefix of a spec: out of its place at once, then from disk. The caller has the exclusive lock of the spec.
 * Tells whether there was one. Throws FILE_SYSTEM, also for a prefix that is not inside the store.
 */
export async function removePrefix(store: Store, node: SpecNode): Promise<boolean> {
  const place = await placeInStore(store, store.prefixOf(node));
  const gone = beside(place, node.hash, "gone");
  await putRight(place, node.hash, "gone");
  try {
    await rename(`${place.parent}/${place.name}`, gone);
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw fileError(cause, "remove", `${place.parent}/${place.name}`);
  }
  await removeTree(gone);
  return true;
}

/**
 * Puts right what killed runs left in the folder that holds the prefix of a spec, of any spec that nobody works on. Tells
 * how many there were. Throws FILE_SYSTEM.
 */
export async function removeLeftovers(store: Store, locks: StoreLocks, node: SpecNode): Promise<number> {
  // Without locks nobody knows what is in use.
  if (!locks.isEnabled) return 0;
  const { parent, prefix } = await placeInStore(store, store.prefixOf(node));
  let found = 0;
  for (const entry of await entriesOf(parent)) {
    const [, kind, hash, name] = LEFTOVER.exec(entry) ?? [];
    if (hash === undefined || name === undefined) continue;
    const release = await locks.tryPrefix(hash);
    if (release === undefined) continue;
    try {
      await putRight({ parent, name, prefix }, hash, kind === "new" || kind === "old" ? kind : "gone");
      found++;
    } finally {
      release();
    }
  }
  return found;
}

// An old prefix comes back unless a new one took its place.
async function putRight(place: PrefixPlace, hash: string, kind: Kind): Promise<void> {
  const left = beside(place, hash, kind);
  const final = `${place.parent}/${place.name}`;
  if (!(await exists(left))) return;
  if (kind !== "old" || (await exists(final))) await removeTree(left);
  else
    await rename(left, final).catch((cause: unknown) => {
      throw fileError(cause, "move back", final);
    });
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read folder", folder);
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
