// Where in a store prefixes may be written: only below its root, whatever a spec, a database or a symbolic link says.
import { realpathSync, statSync } from "node:fs";
import { posix } from "node:path";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { type ByteString, isPlainPath } from "../util/byte-string.ts";
import type { HeldTree } from "../util/held-tree.ts";
import { isLink } from "../util/inspect-path.ts";

/** A prefix that may be written. */
export interface PrefixPlace {
  /** The recorded path. */
  readonly prefix: string;
  /** The root of the store on this machine, without links. */
  readonly root: string;
  /** The parent folder on this machine, without links: the root or below it. It may not exist yet. */
  readonly parent: string;
  /** Its name in the parent folder. */
  readonly name: string;
}

/**
 * The place of a recorded prefix. Throws FILE_SYSTEM if it is not below the root of the store (for example because of
 * `..` or symbolic links), or is in the folder of the database: such a prefix must not be written or removed. Throws
 * FILE_SYSTEM and NOT_FOUND if a folder cannot be read.
 */
export async function placeInStore(store: Pick<Store, "root" | "locate">, prefix: string): Promise<PrefixPlace> {
  const place = await findPlace(store, prefix);
  if (!("outside" in place)) return place;
  const problem = `the prefix ${printable(prefix)} is not inside the store ${store.root}: ${place.outside}`;
  throw new StaveError("FILE_SYSTEM", problem, {
    subject: prefix,
    hint: "check config:install_tree, and symbolic links that lead out of the store",
  });
}

/**
 * The place of a recorded prefix, or the reason why it is outside the store (see placeInStore). Throws FILE_SYSTEM and
 * NOT_FOUND if a folder cannot be read.
 */
export async function findPlace(
  store: Pick<Store, "root" | "locate">,
  prefix: string,
): Promise<PrefixPlace | { readonly outside: string }> {
  const { root } = store;
  const path = prefix.startsWith(`${root}/`) ? prefix.slice(root.length + 1) : "";
  const parts = path.split("/");
  if (!isPlainPath(path) || parts[0] === DATABASE_FOLDER) return { outside: "expected a folder below its root" };
  const parent = store.locate(posix.dirname(prefix));
  const [realRoot, realParent] = [realPlace(store.locate(root)), realPlace(parent)];
  if (realParent !== realRoot && !realParent.startsWith(`${realRoot.replace(/\/$/, "")}/`))
    return { outside: `a symbolic link leads to ${printable(realParent)}` };
  return { prefix, root: realRoot, parent: realParent, name: parts.at(-1) ?? "" };
}

// Resolves links as far as the path exists.
function realPlace(path: string): string {
  const missing: string[] = [];
  for (let at = path; ; at = posix.dirname(at)) {
    try {
      const found = realpathSync.native(at);
      return posix.join(found, ...missing);
    } catch (cause) {
      // A dangling link would be followed once its target exists.
      if (systemCode(cause) !== "ENOENT" || isLink(at) || at === "/") throw fileError(cause, "read", at);
      missing.unshift(posix.basename(at));
    }
  }
}

/**
 * Creates a folder of a store and its missing parents; new ones get the mode of their parent (Spack `filesystem.py`,
 * mkdirp). Throws ARCHIVE_UNSAFE and FILE_SYSTEM.
 */
export function makeParents(tree: HeldTree, path: ByteString): void {
  if (path === "" || tree.stats(path)?.isDirectory()) return;
  const above = path.slice(0, Math.max(0, path.lastIndexOf("/")));
  makeParents(tree, above);
  // Another process may create one at the same time, with the same mode.
  if (tree.makeFolder(path)) tree.chmod(path, statSync(tree.folder(above)).mode & 0o7777);
}
