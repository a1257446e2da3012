// Everything in a folder, in an order that does not depend on the file system. Links are not followed, and what is neither
// file, link nor folder is told and not touched.
import { type Dirent, readdirSync } from "node:fs";
import { type ByteString, bytesOfText, compareNames, fsPath } from "../util/byte-string.ts";
import { whileRelocating } from "./open-file.ts";

/** Something in a folder. */
export interface TreeEntry {
  /** Its path below the folder. */
  readonly path: ByteString;
  readonly type: "file" | "symlink" | "directory" | "other";
}

/** Walks a folder, parents first; folders that `enters` says no to are told, and not entered. Throws FILE_SYSTEM. */
export function* walkTree(
  directory: string,
  enters: (path: ByteString, name: ByteString) => boolean = () => true,
): Generator<TreeEntry> {
  const root = bytesOfText(directory);
  const todo: ByteString[] = [""];
  for (let parent = todo.pop(); parent !== undefined; parent = todo.pop()) {
    const folders: ByteString[] = [];
    for (const entry of sortedEntries(root, parent)) {
      const path = parent === "" ? entry.name : `${parent}/${entry.name}`;
      const type = typeOf(entry);
      yield { path, type };
      if (type === "directory" && enters(path, entry.name)) folders.push(path);
    }
    todo.push(...folders.reverse());
  }
}

function sortedEntries(root: ByteString, path: ByteString): Dirent[] {
  try {
    const entries = readdirSync(fsPath(`${root}/${path}`), { withFileTypes: true, encoding: "latin1" });
    return entries.sort((a, b) => compareNames(a.name, b.name));
  } catch (cause) {
    throw whileRelocating(cause, path === "" ? root : path);
  }
}

function typeOf(entry: Dirent): TreeEntry["type"] {
  if (entry.isFile()) return "file";
  if (entry.isSymbolicLink()) return "symlink";
  return entry.isDirectory() ? "directory" : "other";
}
