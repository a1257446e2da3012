// The size of an installed spec on disk.
import { walkTree } from "../../relocate/tree/walk-tree.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { HeldTree } from "../../util/held-tree.ts";

/**
 * The size in bytes of all files of a prefix, counting hard links once; undefined for externals and uninstalled specs.
 */
export function installedSize(store: Store, node: SpecNode): number | undefined {
  const record = store.get(node.hash);
  if (node.external !== undefined || !record?.installed || record.path === null) return undefined;
  const seen = new Set<number>();
  let total = 0;
  try {
    using tree = new HeldTree(store.locate(record.path));
    for (const { path, type } of walkTree(tree)) {
      if (type !== "file") continue;
      const { size = 0, nlink = 1, ino = 0 } = tree.stats(path) ?? {};
      if (nlink > 1 && seen.has(ino)) continue;
      seen.add(ino);
      total += size;
    }
  } catch {
    // An unreadable prefix has no size; other verbs report the problem.
    return undefined;
  }
  return total;
}
