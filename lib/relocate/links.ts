// Relocates symbolic links: an absolute target that begins with an old prefix (Spack `relocate.py`, relocate_links).
import { readlinkSync, renameSync, symlinkSync } from "node:fs";
import { type ByteString, fsPath } from "../util/byte-string.ts";
import { type Tree, unfit, whileRelocating } from "./open-file.ts";
import type { PrefixMap } from "./prefix-map.ts";

/**
 * Points a link of the tree to the new place; tells whether that took a change. Nothing is looked for at either place.
 * Throws RELOCATION_FAILED for what is no link, and as Tree.locate does.
 */
export function relocateLink(tree: Tree, relative: ByteString, map: PrefixMap): boolean {
  const path = tree.locate(relative);
  if (!tree.stats(relative).isSymbolicLink()) throw unfit(relative, "is no symbolic link");
  try {
    const target = readlinkSync(fsPath(path), "buffer");
    // Old prefixes are absolute, so a relative target never begins with one.
    const replaced = map.replaceStart(target);
    if (replaced === undefined) return false;
    if (tree.isDryRun) return true;
    // Renamed into place, so that there is a link at any moment.
    const temporary = `${path}.stave-${process.pid}`;
    symlinkSync(replaced, fsPath(temporary));
    renameSync(fsPath(temporary), fsPath(path));
    return true;
  } catch (cause) {
    throw whileRelocating(cause, relative);
  }
}
