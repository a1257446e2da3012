// Where in a store prefixes may be written: only below its root, whatever a spec, a database or a symbolic link says.
import { chmod, lstat, opendir, realpath, rm } from "node:fs/promises";
import { posix } from "node:path";
import { fileError, StaveError, systemCode } from "../errors.ts";
import { printable } from "../printable/printable.ts";
import { DATABASE_FOLDER, type Store } from "../spack/store/store.ts";
import { makeFolder } from "../util/folder.ts";

/** A prefix that may be written. */
export interface PrefixPlace {
  /** The recorded path. */
  readonly prefix: string;
  /** The parent folder on this machine; it may not exist yet. */
  readonly parent: string;
  /** Its name in the parent folder. */
  readonly name: string;
}

/**
 * The place of a recorded prefix. Throws FILE_SYSTEM if it is not below the root of the store (for example because of
 * `..` or symbolic links), or is in the folder of the database; such a prefix must not be written or removed.
 */
export async function placeInStore(store: Pick<Store, "root" | "locate">, prefix: string): Promise<PrefixPlace> {
  const { root } = store;
  const below = prefix.startsWith(`${root}/`) ? prefix.slice(root.length + 1) : "";
  const parts = below.split("/");
  const isPlain = parts.every((part) => part !== "" && part !== "." && part !== "..") && !below.includes("\0");
  if (!isPlain || parts[0] === DATABASE_FOLDER) throw outside(prefix, root, "expected a folder below its root");
  const parent = store.locate(posix.dirname(prefix));
  const [realRoot, realParent] = [await realPlace(store.locate(root)), await realPlace(parent)];
  if (realParent !== realRoot && !realParent.startsWith(`${realRoot.replace(/\/$/, "")}/`))
    throw outside(prefix, root, `a symbolic link leads to ${printable(realParent)}`);
  return { prefix, parent, name: parts.at(-1) ?? "" };
}

function outside(prefix: string, root: string, why: string): StaveError {
  return new StaveError("FILE_SYSTEM", `the prefix ${printable(prefix)} is not inside the store ${root}: ${why}`, {
    subject: prefix,
    hint: "check config:install_tree, and symbolic links that lead out of the store",
  });
}

// Resolves links as far as the path exists.
async function realPlace(path: string): Promise<string> {
  const missing: string[] = [];
  for (let at = path; ; at = posix.dirname(at)) {
    try {
      const found = await realpath(at);
      return posix.join(found, ...missing);
    } catch (cause) {
      // A dangling link would be followed once its target exists.
      const isLink = await lstat(at).then(
        (stats) => stats.isSymbolicLink(),
        () => false,
      );
      if (systemCode(cause) !== "ENOENT" || isLink || at === "/") throw fileError(cause, "read", at);
      missing.unshift(posix.basename(at));
    }
  }
}

/**
 * Creates a folder and its missing parents; new ones get the mode of the nearest existing one (Spack `filesystem.py`,
 * mkdirp).
 */
export async function makeParents(path: string): Promise<void> {
  try {
    // Another process may create one at the same time, with the same mode.
    const made = makeFolder(path);
    const [top] = made;
    if (top === undefined) return;
    const above = await lstat(posix.dirname(top));
    const mode = above.isSymbolicLink() ? 0o755 : above.mode & 0o7777;
    for (const each of made) await chmod(each, mode);
  } catch (cause) {
    throw fileError(cause, "make folder", path);
  }
}

/** Removes a tree, if it exists, even if its folders are read-only. Throws FILE_SYSTEM. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (cause) {
    if (!["EACCES", "EPERM"].includes(systemCode(cause) ?? "")) throw fileError(cause, "remove", path);
    try {
      await openFolders(Buffer.from(path));
      await rm(path, { recursive: true, force: true });
    } catch (again) {
      throw fileError(again, "remove", path);
    }
  }
}

const SLASH = Buffer.from("/");

async function openFolders(path: Buffer): Promise<void> {
  const stack = [path];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    await chmod(at, 0o700);
    // The types of the standard library lack Buffer names here.
    const folder = await opendir(at, { encoding: "latin1" });
    for await (const entry of folder)
      if (entry.isDirectory()) stack.push(Buffer.concat([at, SLASH, Buffer.from(entry.name, "latin1")]));
  }
}
