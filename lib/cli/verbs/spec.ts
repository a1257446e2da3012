// `stave spec`: shows one concrete spec as a tree.

import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenSpec } from "../../api/from-spack/spack-specs.ts";
import { installedSize } from "../../ops/store/size.ts";
import { printable } from "../../printable/printable.ts";
import { checkHashes } from "../../spack/spec/dag-hash.ts";
import { BUILD, LINK, RUN, type SpecNode, TEST } from "../../spack/spec/node.ts";
import { specString } from "../../spack/spec/spec-name.ts";
import { specDocument } from "../../spack/spec/spec-writer.ts";
import { treeLines } from "../../spack/spec/traversal.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { formatBytes } from "../output/formatting.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Each line shows the hash, the dependency types ([b]uild, [l]ink, [r]un, [t]est), the size on disk if the spec is installed, and the
spec. Recomputes all hashes and reports those that differ. --json prints the spec in Spack's own format.

Examples:
  stave spec voyage
  stave spec hdf5 ^mpich
  stave spec ./voyage.spec.json
  stave spec /wsit3bg --json`;

const TYPES: [number, string][] = [
  [BUILD, "b"],
  [LINK, "l"],
  [RUN, "r"],
  [TEST, "t"],
];

/** The command `stave spec`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("spec", "show a concrete spec as a tree").argument(
    "<spec...>",
    "a query that matches one installed spec, /hash or a spec file",
  );
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], OutputOptions & SpackFlags>(command, state, async (context, output, flags, words) => {
    const { root, graph, store } = await chosenSpec(context, flags, words);
    const sizes = new Map<string, number | undefined>();
    for (const { node } of store ? treeLines([root]) : []) sizes.set(node.hash, store && installedSize(store, node));
    for (const { node, depth, edge } of treeLines([root])) {
      const types = TYPES.map(([bit, letter]) => (edge === undefined || edge.types & bit ? letter : " ")).join("");
      const size = sizes.get(node.hash);
      const shown = size === undefined ? "" : formatBytes(size);
      output.print(
        `${output.style("dim", node.hash.slice(0, 7))} [${edge === undefined ? "    " : types}] ${shown.padStart(8)}  ${"    ".repeat(depth)}${depth > 0 ? "^" : ""}${printable(specString(node))}`,
      );
    }
    const { mismatched } = checkHashes(graph.nodes() as Iterable<SpecNode>);
    for (const { node, computed } of mismatched)
      output.warn(`${node.name} has the hash ${node.hash}, but its contents give ${computed}`);
    output.report({ spec: specDocument(root, graph) });
    return 0;
  });
};
