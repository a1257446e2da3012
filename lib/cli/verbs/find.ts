// `stave find`: what is installed, as Spack's own `find` shows it.
import { find } from "../../ops/find.ts";
import { treeLines } from "../../spack/dag.ts";
import { LINK, RUN } from "../../spack/node.ts";
import { helpText, verbCommand } from "../options.ts";
import type { OutputOptions } from "../output.ts";
import { addSpack, SpackFiles, type SpackFlags } from "../spack-options.ts";
import { addList, type ListFlags, specGroups } from "../spec-groups.ts";
import { count } from "../text.ts";
import { bindAction, type VerbFactory } from "../verb.ts";

interface Flags extends OutputOptions, SpackFlags, ListFlags {
  deps?: boolean;
}

const HELP = `
SPEC is Spack's own syntax: name@1.2: +variant %gcc@12 ^dependency /hash. Without one, everything is shown.
The status is 1 when nothing was found.

Examples:
  stave find
  stave find -lv hdf5 ^mpi
  stave find --store /opt/spack --json /abc123`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("find", "show what is installed in a Spack store", "--verbose")
    .argument("[specs...]", "what to look for")
    .option("-d, --deps", "show dependencies below each spec");
  addList(command);
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, texts) => {
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const report = find(store, await files.queries(texts));
    const { graph } = store.database;
    if (!flags.json) {
      const tree = (hash: string) => {
        const node = graph.get(hash);
        return flags.deps && node ? treeLines([node], { types: LINK | RUN }).slice(1) : [];
      };
      for (const text of specGroups(report.specs, flags, output, tree)) output.print(text);
      output.note(`${count(report.specs.length, "installed package")}${texts.length > 0 ? " found" : ""}`);
    }
    output.report(report);
    return report.specs.length === 0 && texts.length > 0 ? 1 : 0;
  });
};
