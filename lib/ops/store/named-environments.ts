// The named environments of a Spack.
import { readdir } from "node:fs/promises";
import { fileError, isStaveError, systemCode } from "../../errors.ts";
import { readEnvironmentLock } from "../../spack/spec/lockfile.ts";

/** The names of the environments in a folder; none if it does not exist. Throws FILE_SYSTEM. */
export async function namedEnvironments(root: string): Promise<string[]> {
  try {
    const entries = await readdir(root, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isFile() ? [] : [entry.name])).toSorted();
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read folder", root);
  }
}

/**
 * The DAG hashes of the roots of all named environments in a folder, and of the environment in one more. Those that are
 * not concretized have none.
 */
export async function environmentRoots(root: string | undefined, more: string | undefined): Promise<Set<string>> {
  const named = root === undefined ? [] : (await namedEnvironments(root)).map((name) => `${root}/${name}`);
  const hashes = new Set<string>();
  for (const folder of new Set([...named, ...(more === undefined ? [] : [more])])) {
    try {
      const { roots } = await readEnvironmentLock(folder);
      for (const { node } of roots) hashes.add(node.hash);
    } catch (error) {
      if (!isStaveError(error, "NOT_FOUND")) throw error;
    }
  }
  return hashes;
}
