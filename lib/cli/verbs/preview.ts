// `stave preview`: shows what relocation would change in a spec and its dependencies.

import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenSpecs } from "../../api/from-spack/spack-specs.ts";
import { StaveError } from "../../errors.ts";
import { type PreviewNode, preview } from "../../ops/store/preview.ts";
import { printable } from "../../printable/printable.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Shows the tree of link and run dependencies. For each spec, counts the binaries (always checked), text files and links that contain
its prefix or the prefix of another spec. Strings in binaries cannot grow, so they limit the length of a new root.

Examples:
  stave preview voyage
  stave preview /wsit3bg --json`;

/** The command `stave preview`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("preview", "show what relocation would change, and the longest possible root").argument(
    "<specs...>",
    "the specs: queries that match one installed spec each, or /hash",
  );
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], OutputOptions & SpackFlags>(command, state, async (context, output, flags, texts) => {
    const chosen = await chosenSpecs(context, flags, texts);
    const { store } = chosen[0];
    if (store === undefined)
      throw new StaveError("USAGE", "a spec file has no files to look at", { hint: "name an installed spec" });
    const report = preview(
      store,
      chosen.map(({ root }) => root),
    );
    output.print("Relocatable nodes");
    output.print("--------------------------------");
    for (const node of report.nodes) output.print(line(node));
    const room = report.room > 0 ? `, ${report.room} of them padding` : "";
    output.print(`a new root may have up to ${count(report.longestRoot, "character")}${room} where programs name it`);
    output.report(report);
    return 0;
  });
};

const SIGNS = { relocatable: "[+]", external: "[e]", "not installed": " - " } as const;

function line({ status, depth, name, version, binaries, texts, links }: PreviewNode): string {
  const parts = [
    [binaries, "binary", "binaries"],
    [texts, "text", "texts"],
    [links, "link", "links"],
  ] as const;
  const counts = parts.flatMap(([files, one, many]) =>
    files && files.length > 0 ? [count(files.length, one, many)] : [],
  );
  const shown = binaries === undefined ? status : counts.join(", ") || "nothing to relocate";
  return `${SIGNS[status]}  ${"    ".repeat(depth)}${depth > 0 ? "^" : ""}${printable(`${name}@${version}`)}  (${shown})`;
}
