// The size of an installed spec on disk.

import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";

/**
 * The size in bytes of all files of a prefix, counting hard links once; undefined for externals and uninstalled specs.
 */
export async function installedSize(store: Store, node: SpecNode): Promise<number | undefined> {
  const record = store.get(node.hash);
  if (node.external !== undefined || !record?.installed || record.path === null) return undefined;
  const root = store.locate(record.path);
  const seen = new Set<number>();
  let total = 0;
  try {
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const { size, nlink, ino } = await lstat(join(entry.parentPath, entry.name));
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
