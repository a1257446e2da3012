// Relocates symbolic links: an absolute target that begins with an old prefix (Spack `relocate.py`, relocate_links).
import { lstatSync, readlinkSync, renameSync, symlinkSync } from "node:fs";
import { StaveError } from "../errors.ts";
import { type ByteString, fsPath, shownName } from "../image/byte-string.ts";
import { type Tree, whileRelocating } from "./open-file.ts";
import type { PrefixMap } from "./prefix-map.ts";

/**
 * Points a link of the tree to the new place; tells whether that took a change. Nothing is looked for at either place.
 * Throws RELOCATION_FAILED for what is no link, and as Tree.locate does.
 */
export function relocateLink(tree: Tree, relative: ByteString, map: PrefixMap): boolean {
  const path = tree.locate(relative);
  try {
    if (!lstatSync(fsPath(path)).isSymbolicLink()) throw noLink(relative, "is no symbolic link");
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

function noLink(path: ByteString, how: string): StaveError {
  const shown = shownName(path);
  return new StaveError("RELOCATION_FAILED", `cannot relocate ${shown}: it ${how}`, { subject: shown });
}
