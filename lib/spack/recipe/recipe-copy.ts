// Finds and reads the copy of a spec's recipe that Spack keeps in the spec's prefix.
import { isStaveError, messageOf } from "../../errors.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { isVisible } from "../../util/inspect-path.ts";
import type { SpecNode } from "../spec/node.ts";
import { METADATA_FOLDER } from "../store/prefix-metadata.ts";
import { NotUnderstood, RECIPE_LIMIT } from "./python-tokens.ts";

// The keywords of Python in lower case, which cannot name a module.
const KEYWORDS = new Set(
  (
    "and as assert async await break class continue def del elif else except finally for from global if import in is " +
    "lambda nonlocal not or pass raise return try while with yield"
  ).split(" "),
);

/** Where copies of a spec's recipe may be, below `.spack/repos`: as Spack 1.0 and later has it, and as before. */
export function recipePlaces({ name, namespace }: SpecNode): string[] {
  if (namespace === undefined || !isPlain(name) || !namespace.split(".").every(isPlain)) return [];
  const module = name.replaceAll("-", "_");
  const folder = /^[0-9]/.test(module) || KEYWORDS.has(module) ? `_${module}` : module;
  return [
    `spack_repo/${namespace.replaceAll(".", "/")}/packages/${folder}/package.py`,
    `${namespace}/packages/${name}/package.py`,
  ];
}

/**
 * Reads the copy of a spec's recipe in a folder that holds its prefix; undefined if there is none. Links are not
 * followed. Throws NotUnderstood for anything but a readable text of bounded size.
 */
export function readRecipeCopy(directory: string, node: SpecNode): string | undefined {
  const places = recipePlaces(node).map((place) => `${METADATA_FOLDER}/repos/${place}`);
  // One question instead of ten for the prefixes of stores that have no copies.
  if (places.length === 0 || !isVisible(`${directory}/${METADATA_FOLDER}/repos`)) return undefined;
  try {
    using tree = new HeldTree(directory);
    for (const place of places) {
      const bytes = readFrom(tree, place);
      if (bytes !== undefined) return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    }
    return undefined;
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    if (isStaveError(error)) throw new NotUnderstood(1, error.message);
    if (error instanceof TypeError) throw new NotUnderstood(1, "it is not valid UTF-8");
    throw new NotUnderstood(1, messageOf(error));
  }
}

function readFrom(tree: HeldTree, place: string): Buffer | undefined {
  try {
    return tree.read(place, RECIPE_LIMIT);
  } catch (error) {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

const isPlain = (part: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(part);
