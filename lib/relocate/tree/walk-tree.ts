// Lists a folder recursively in an order independent of the file system. Links are not followed; other file types are
// reported but not touched.
import type { Dirent } from "node:fs";
import { type ByteString, bytesOfText, compareNames } from "../../util/byte-string.ts";
import type { HeldTree } from "../../util/held-tree.ts";
import { whileRelocating } from "../file/open-file.ts";

/** An entry of a folder. */
export interface TreeEntry {
  /** Its path below the folder. */
  readonly path: ByteString;
  readonly type: "file" | "symlink" | "directory" | "other";
}

/** Walks a folder, parents first. Folders that `enters` rejects are listed but not entered. Throws FILE_SYSTEM. */
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
