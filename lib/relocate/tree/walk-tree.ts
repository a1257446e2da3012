// Everything in a folder, in an order that does not depend on the file system. Links are not followed, and what is neither
// file, link nor folder is told and not touched.
import type { Dirent } from "node:fs";
import { type ByteString, bytesOfText, compareNames } from "../../util/byte-string.ts";
import type { HeldTree } from "../../util/held-tree.ts";
import { whileRelocating } from "../file/open-file.ts";

/** Something in a folder. */
export interface TreeEntry {
  /** Its path below the folder. */
  readonly path: ByteString;
  readonly type: "file" | "symlink" | "directory" | "other";
}

/** Walks a folder, parents first; folders that `enters` says no to are told, and not entered. Throws FILE_SYSTEM. */
export function* walkTree(
  tree: HeldTree,
  enters: (path: ByteString, name: ByteString) => boolean = () => true,
): Generator<TreeEntry> {
  const todo: ByteString[] = [""];
  for (let parent = todo.pop(); parent !== undefined; parent = todo.pop()) {
    const folders: ByteString[] = [];
    for (const entry of sortedEntries(tree, parent)) {
      const path = parent === "" ? entry.name : `${parent}/${entry.name}`;
      const type = typeOf(entry);
      yield { path, type };
      if (type === "directory" && enters(path, entry.name)) folders.push(path);
    }
    todo.push(...folders.reverse());
  }
}

function sortedEntries(tree: HeldTree, path: ByteString): Dirent[] {
  try {
    return tree.entries(path).sort((a, b) => compareNames(a.name, b.name));
  } catch (cause) {
    throw whileRelocating(cause, path === "" ? bytesOfText(tree.directory) : path);
  }
}

function typeOf(entry: Dirent): TreeEntry["type"] {
  if (entry.isFile()) return "file";
  if (entry.isSymbolicLink()) return "symlink";
  return entry.isDirectory() ? "directory" : "other";
}
