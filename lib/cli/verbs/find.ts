// `stave find`: lists what is installed, in the format of Spack's `find`.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { type FindReport, find } from "../../ops/store/find.ts";
import { printable } from "../../printable/printable.ts";
import { printQuery } from "../../spack/query/query.ts";
import { explainAbsence } from "../../spack/query/select.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { formatSpec } from "../../spack/spec/spec-format.ts";
import { treeLines } from "../../spack/spec/traversal.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import { addList, formatOf, type ListFlags, type RootFlags, specGroups, wantedRoots } from "../output/spec-groups.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags, ListFlags, RootFlags {
  deps?: boolean;
}

const HELP = `
SPEC has Spack's syntax, name@1.2: +variant %gcc@12 ^dependency /hash, and may span several arguments. Without SPEC, shows
everything. In an environment (-e, or $SPACK_ENV), shows only its specs, after a list of its roots: [+] means installed,
- means missing. Exits with status 1 if nothing was found.

Examples:
  stave find
  stave find -lv hdf5 ^mpi
  stave find -e ./my-env
  stave find -x -p
  stave find --format '{name}@{version} {prefix}' ^mpi
  stave find --store /opt/spack --json /abc123`;

/** The command `stave find`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("find", "show what is installed in a Spack store", "--verbose")
    .argument("[specs...]", "the specs to look for")
    .option("-d, --deps", "show dependencies below each spec");
  addList(command, {
    paths: "show prefixes",
    explicit: "only specs that were installed by name",
    implicit: "only specs that were installed as dependencies",
  });
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, words) => {
    const format = formatOf(flags);
    const wanted = wantedRoots(flags);
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const queries = await files.queries(words);
    const environment = await files.lock();
    const unmatched = new Set(queries);
    const report = find(store, queries, { environment, explicit: wanted, unmatched });
    const { graph } = store.database;
    if (format !== undefined) {
      const prefixOf = (node: SpecNode) => store.get(node.hash)?.path ?? undefined;
      for (const { hash } of report.specs) {
        const node = graph.get(hash);
        if (node) output.print(formatSpec(node, format, prefixOf));
      }
    } else if (!flags.json) {
      const tree = (hash: string) => {
        const node = graph.get(hash);
        return flags.deps && node ? treeLines([node], { types: LINK | RUN }).slice(1) : [];
      };
      if (words.length === 0)
        for (const text of rootLines(report, files.discovery.environment?.name, output)) output.print(text);
      for (const text of specGroups(report.specs, flags, output, tree)) output.print(text);
      output.note(`${count(report.specs.length, "installed package")}${words.length > 0 ? " found" : ""}`);
    }
    if (unmatched.size > 0) {
      const nodes = [...store.records()].filter(({ installed }) => installed).map(({ node }) => node);
      const there = environment === undefined ? nodes : nodes.filter(({ hash }) => environment.graph.get(hash));
      for (const query of unmatched) {
        const why = explainAbsence({ nodes: there, graph, place: store.root }, query);
        output.note(`no installed spec matches ${printQuery(query)}${why === undefined ? "" : `: ${why}`}`);
      }
    }
    output.report(report);
    return report.specs.length === 0 && words.length > 0 ? 1 : 0;
  });
};

function* rootLines({ roots }: FindReport, name: string | undefined, output: Output): Iterable<string> {
  if (roots === undefined) return;
  yield output.style("bold", `-- ${count(roots.length, "root")} of the environment ${name ?? ""}`);
  for (const { name: root, version, hash, installed } of roots)
    yield `${installed ? "[+]" : output.style("yellow", " - ")} ${printable(`${root}@${version}/${hash.slice(0, 7)}`)}`;
  yield "";
}
