// Lists what would be relocated in a prefix, without archiving it.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { fsPath } from "../../util/byte-string.ts";
import type { Relocatable, RelocatableFiles } from "./build-info-writer.ts";
import { type PrefixLocation, walkPrefix, whilePacking } from "./prefix-walk.ts";
import { relocationList } from "./relocation-list.ts";

const PIECE = 1 << 20;

/** Lists the files and links of a prefix that an installation elsewhere would change. Throws as walkPrefix does. */
export function previewRelocation(job: Relocatable & PrefixLocation): RelocatableFiles {
  const list = relocationList(job);
  const seen = new Set<string>();
  const buffer = Buffer.alloc(PIECE);
  for (const { type, relative, path, target } of walkPrefix(job)) {
    if (relative === undefined) continue;
    if (type === "symlink") list.symlink(relative, target);
    if (type !== "file") continue;
    const classifier = list.classifier(relative);
    let file: number | undefined;
    try {
      file = openSync(fsPath(path), "r");
      const { dev, ino, nlink } = fstatSync(file, { bigint: true });
      const inode = nlink > 1n ? `${dev}:${ino}` : undefined;
      if (inode !== undefined && seen.has(inode)) {
        list.hardLink(relative, inode);
        continue;
      }
      if (inode !== undefined) seen.add(inode);
      // Classifiers keep no pieces, so one buffer serves all.
      for (let size = readSync(file, buffer); classifier && size > 0; size = readSync(file, buffer))
        classifier.add(buffer.subarray(0, size));
      list.file(relative, inode, classifier?.end() ?? "none");
    } catch (cause) {
      throw whilePacking(cause, "read", path);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }
  return list.end();
}
