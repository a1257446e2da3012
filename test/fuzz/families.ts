// The fuzz families by name, and the seeds of their targets.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Family, FuzzTarget } from "./family.ts";
import type { Material } from "./mutate.ts";

const LOADERS: Readonly<Record<string, () => Promise<{ readonly family: Family }>>> = {
  archives: () => import("./families/archives.ts"),
  binaries: () => import("./families/binaries.ts"),
  yaml: () => import("./families/yaml.ts"),
  json: () => import("./families/json.ts"),
  index: () => import("./families/index.ts"),
  documents: () => import("./families/documents.ts"),
  queries: () => import("./families/queries.ts"),
  references: () => import("./families/references.ts"),
  headers: () => import("./families/headers.ts"),
  host: () => import("./families/host.ts"),
  signatures: () => import("./families/signatures.ts"),
  recipes: () => import("./families/recipes.ts"),
};

/** The names of all families. */
export const FAMILIES: readonly string[] = Object.keys(LOADERS);

/** Loads one family. */
export async function loadFamily(name: string): Promise<Family> {
  const load = LOADERS[name];
  if (load === undefined) throw new Error(`no family is named ${name}, expected one of ${FAMILIES.join(", ")}`);
  return (await load()).family;
}

// Inputs that once revealed a defect: testdata/fuzz/TARGET/…
const KEPT = join(import.meta.dirname, "../../testdata/fuzz");

/** The material for a target's inputs. */
export function materialOf({ name, seeds, words = [], largest = 64 * 1024 }: FuzzTarget): Material {
  const folder = join(KEPT, name.replaceAll(" ", "-"));
  const kept = existsSync(folder) ? readdirSync(folder).map((file) => readFileSync(join(folder, file))) : [];
  return { name, seeds: [...kept, ...seeds.map((text) => Buffer.from(text as string))], words, largest };
}
