// Checks that a document is the spec that its place in a cache promises.
import { StaveError } from "../errors.ts";
import { otherHash } from "../spack/spec/dag-hash.ts";
import { shortName } from "../spack/spec/node-reader.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import { specTag } from "../spack/spec/spec-name.ts";

/**
 * Checks the name, version and hash of the root against a tag, and recomputes the hash of every node for which
 * `isKnown` is not true. Throws SPEC_INVALID.
 */
export function checkIdentity(
  { root, graph }: Pick<SpecDocument, "root" | "graph">,
  tag: string,
  subject: string,
  isKnown?: (hash: string) => boolean,
): void {
  if (specTag(root) !== tag)
    throw new StaveError("SPEC_INVALID", `${subject} contains another spec, ${shortName(root)}`, { subject });
  for (const node of graph.nodes()) {
    if (isKnown?.(node.hash)) continue;
    const other = otherHash(node);
    if (other !== undefined)
      throw new StaveError(
        "SPEC_INVALID",
        `${subject} has ${shortName(node)} under ${node.hash}, but its content gives ${other}`,
        { subject },
      );
  }
}
