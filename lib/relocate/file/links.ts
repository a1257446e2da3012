// Relocates symbolic links: an absolute target that begins with an old prefix (Spack `relocate.py`, relocate_links).
import type { ByteString } from "../../util/byte-string.ts";
import type { PrefixMap } from "../prefix/prefix-map.ts";
import { type Tree, unfit, whileRelocating } from "./open-file.ts";

/**
 * Points a link of the tree to the new place. Returns true if it changed. Neither target is checked. Throws
 * RELOCATION_FAILED if it is not a link, and as Tree.locate does.
 */
export function relocateLink(tree: Tree, relative: ByteString, map: PrefixMap): boolean {
  if (!tree.stats(relative).isSymbolicLink()) throw unfit(relative, "is not a symbolic link");
  try {
    const target = Buffer.from(tree.held.target(relative), "latin1");
    // Old prefixes are absolute, so a relative target never begins with one.
    const replaced = map.replaceStart(target);
    if (replaced === undefined) return false;
    if (tree.isDryRun) return true;
    tree.held.relink(relative, replaced);
    return true;
  } catch (cause) {
    throw whileRelocating(cause, relative);
  }
}
