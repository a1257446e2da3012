// What the store knows of packages, for a search.
import { isStaveError } from "../../errors.ts";
import { packageDescriptions } from "../../ops/store/descriptions.ts";
import type { SpackFiles } from "./spack-files.ts";

/** The descriptions of packages by name. A search needs no store; one that is there knows more. */
export async function descriptionsFor(files: SpackFiles): Promise<ReadonlyMap<string, string>> {
  if (files.discovery.store === undefined) return new Map();
  try {
    return packageDescriptions(await files.store());
  } catch (error) {
    if (!isStaveError(error)) throw error;
    return new Map();
  }
}
