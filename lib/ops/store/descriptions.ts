// The descriptions of installed packages, from the copies of their recipes.
import { compareNodes } from "../../spack/query/select.ts";
import { NotUnderstood } from "../../spack/recipe/python-tokens.ts";
import { readRecipeCopy } from "../../spack/recipe/recipe-copy.ts";
import { recipeDescription } from "../../spack/recipe/recipe-description.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import { underSysroot } from "../../util/sysroot.ts";

/** The first paragraph of the description of each installed package, by name; that of its newest version. */
export function packageDescriptions(store: Store): Map<string, string> {
  const newest = new Map<string, { readonly node: SpecNode; readonly path: string }>();
  for (const { node, path, installed } of store.records()) {
    if (!installed || path === null || node.external !== undefined) continue;
    const known = newest.get(node.name);
    if (known === undefined || compareNodes(known.node, node) < 0) newest.set(node.name, { node, path });
  }
  const found = new Map<string, string>();
  for (const [name, { node, path }] of newest) {
    const [first] = specDescription(node, store, path);
    if (first !== undefined) found.set(name, first);
  }
  return found;
}

/** The paragraphs of a spec's description; none without a copy of the recipe. */
export function specDescription(node: SpecNode, store: Store, prefix: string): readonly string[] {
  try {
    const text = readRecipeCopy(underSysroot(store.sysroot, prefix), node);
    return text === undefined ? [] : recipeDescription(text, node.name);
  } catch (error) {
    if (error instanceof NotUnderstood) return [];
    throw error;
  }
}
