// What is known about an installed spec beyond its DAG: from the copy of its recipe, and from the SPDX document that
// Spack 1.3 and later write beside it.
import * as z from "zod";
import { isStaveError } from "../../errors.ts";
import { HeldTree } from "../../util/held-tree.ts";
import { graphOf } from "../spec/graph.ts";
import type { SpecNode } from "../spec/node.ts";
import { preOrder } from "../spec/traversal.ts";
import { METADATA_FOLDER } from "../store/prefix-metadata.ts";
import { NotUnderstood } from "./python-tokens.ts";
import { parseRecipe } from "./recipe.ts";
import { readRecipeCopy } from "./recipe-copy.ts";
import { noFacts, type RecipeFacts, readRecipeFacts, type SourceChecksum } from "./recipe-facts.ts";

/** The name of Spack's own SPDX document in `.spack`. */
export const SPACK_SPDX = "spdx-2.3-sbom.json";
/** The size limit of that document, in bytes. */
export const SPACK_SPDX_LIMIT: number = 4 * 1024 * 1024;

/** What is known about a spec. */
export interface SpecFacts {
  readonly facts: RecipeFacts;
  /** Who supplies it, as Spack's document says. */
  readonly supplier: string | undefined;
}

/** The texts that say something about a spec. */
export interface SpecTexts {
  readonly recipe: string | undefined;
  readonly spdx: string | undefined;
}

/** Reads the texts in the prefix of a spec and what they say. */
export function readSpecFacts(directory: string, node: SpecNode): SpecFacts {
  let recipe: string | undefined;
  try {
    recipe = readRecipeCopy(directory, node);
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return { facts: noFacts(`the recipe is not readable: ${error.message}`), supplier: undefined };
  }
  return specFacts(node, { recipe, spdx: readSpdx(directory) });
}

function readSpdx(directory: string): string | undefined {
  try {
    using tree = new HeldTree(directory);
    return tree.read(`${METADATA_FOLDER}/${SPACK_SPDX}`, SPACK_SPDX_LIMIT)?.toString("utf8");
  } catch (error) {
    // A supplement: without it less is known.
    if (isStaveError(error)) return undefined;
    throw error;
  }
}

/** What the texts say about a spec. What Spack wrote when it installed the spec comes before the recipe. */
export function specFacts(node: SpecNode, { recipe, spdx }: SpecTexts): SpecFacts {
  const facts = recipe === undefined ? noFacts(absent(node)) : factsOf(node, recipe);
  const own = spdx === undefined ? undefined : spdxFacts(node, spdx);
  if (own === undefined) return { facts, supplier: undefined };
  const { license, supplier, checksum } = own;
  const { source } = facts;
  return {
    facts: {
      ...facts,
      ...(license === undefined ? {} : { license, licenseProblem: undefined }),
      source: source.checksums.length === 0 && checksum ? { ...source, checksums: [checksum] } : source,
    },
    supplier,
  };
}

const absent = ({ external }: SpecNode): string =>
  external === undefined ? "there is no copy of the recipe" : "it is an external, which Spack did not build";

function factsOf(node: SpecNode, text: string): RecipeFacts {
  try {
    const world = {
      node,
      graph: graphOf(preOrder([node])),
      prefixOf: () => undefined,
      kindAt: () => {
        throw new NotUnderstood(0, "a file");
      },
      isExtension: () => {
        throw new NotUnderstood(0, "an extension");
      },
    };
    return readRecipeFacts(parseRecipe(text), world);
  } catch (error) {
    if (error instanceof NotUnderstood) return noFacts(`the recipe is not understood: ${error.message}`);
    throw error;
  }
}

const Text = z.string().max(2000);
const SpdxPackage = z.looseObject({
  name: Text,
  versionInfo: Text,
  licenseDeclared: Text.optional(),
  supplier: Text.optional(),
  checksum: z
    .array(z.looseObject({ algorithm: Text, checksumValue: Text }))
    .max(20)
    .optional(),
});
// Only the first package is the spec itself.
const SpdxDocument = z.looseObject({
  spdxVersion: z.literal("SPDX-2.3"),
  packages: z.array(z.unknown()).min(1).max(100_000),
});

function spdxFacts(
  { name, version }: SpecNode,
  text: string,
): { license: string | undefined; supplier: string | undefined; checksum: SourceChecksum | undefined } | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const document = SpdxDocument.safeParse(json);
  const found = SpdxPackage.safeParse(document.data?.packages[0]);
  if (!found.success || found.data.name !== name || found.data.versionInfo !== version) return undefined;
  const { licenseDeclared, supplier, checksum = [] } = found.data;
  const sha256 = checksum.find(({ algorithm }) => algorithm === "SHA256")?.checksumValue.toLowerCase();
  const known = (value: string | undefined): string | undefined =>
    value === undefined || ["", "NOASSERTION", "NONE"].includes(value) ? undefined : value;
  return {
    license: known(licenseDeclared),
    supplier: /^(?:Organization|Person): \S/.test(supplier ?? "") ? supplier : undefined,
    checksum:
      sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? { algorithm: "sha256", value: sha256 } : undefined,
  };
}
