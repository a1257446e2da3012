// Compares the two files of an environment: finds specs in `spack.yaml` that `spack.lock` lacks.
import { isStaveError } from "../../errors.ts";
import { printQuery } from "../../spack/query/query.ts";
import { satisfies } from "../../spack/query/satisfies.ts";
import type { SpackFiles } from "./spack-files.ts";

/**
 * The specs of the environment's `spack.yaml` that no root of its lock file satisfies. Skips definitions and matrices,
 * which only Spack can expand.
 */
export async function unlockedSpecs(files: SpackFiles): Promise<string[]> {
  const lock = await files.lock();
  const specs = files.discovery.environment?.contents?.specs ?? [];
  if (lock === undefined) return [];
  const roots = lock.roots.filter(({ includedFrom }) => includedFrom === undefined);
  const locked = new Set<string>();
  for (const { spec } of roots) for (const query of await parsed(files, spec)) locked.add(printQuery(query));
  const missing: string[] = [];
  for (const text of specs) {
    if (typeof text !== "string" || text.startsWith("$")) continue;
    const [query, ...more] = await parsed(files, text);
    if (query === undefined || more.length > 0 || locked.has(printQuery(query))) continue;
    if (!roots.some(({ node }) => satisfies(node, lock.graph, query))) missing.push(text);
  }
  return missing;
}

// Whether an invalid spec is an error is for Spack to decide.
async function parsed(files: SpackFiles, text: string): ReturnType<SpackFiles["queries"]> {
  try {
    return await files.queries([text]);
  } catch (error) {
    if (isStaveError(error)) return [];
    throw error;
  }
}
