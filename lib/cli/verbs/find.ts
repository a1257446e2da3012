// `stave find`: what is installed, as Spack's own `find` shows it.
import { type FoundSpec, find } from "../../ops/find.ts";
import { treeLines } from "../../spack/dag.ts";
import { LINK, RUN } from "../../spack/node.ts";
import { verbCommand } from "../options.ts";
import type { Output, OutputOptions } from "../output.ts";
import { addSpack, SpackFiles, type SpackFlags } from "../spack-options.ts";
import { count, printable } from "../text.ts";
import { bindAction, type VerbFactory } from "../verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  long?: boolean;
  veryLong?: boolean;
  variants?: boolean;
  namespaces?: boolean;
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
    .option("-l, --long", "show the first 7 characters of hashes")
    .option("-L, --very-long", "show whole hashes")
    // `-v` is `--variants` here, as in Spack.
    .option("-v, --variants", "show variants and flags")
    .option("-N, --namespaces", "show namespaces")
    .option("-d, --deps", "show dependencies below each spec");
  addSpack(command).addHelpText("after", HELP);
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
      for (const text of render(report.specs, flags, output, tree)) output.print(text);
      output.note(`${count(report.specs.length, "installed package")}${texts.length > 0 ? " found" : ""}`);
    }
    output.report(report);
    return report.specs.length === 0 && texts.length > 0 ? 1 : 0;
  });
};

type Tree = (hash: string) => readonly { node: { name: string; version: string; hash: string }; depth: number }[];

/** Groups by architecture and compiler, each under its rule, as `spack find` does. */
function* render(specs: readonly FoundSpec[], flags: Flags, output: Output, tree: Tree): Iterable<string> {
  const groups = Map.groupBy(
    specs,
    (spec) => `${spec.architecture} / ${spec.compiler === undefined ? "no compilers" : `%${spec.compiler}`}`,
  );
  const width = output.columns ?? 80;
  for (const [heading, members] of [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const title = `-- ${heading} `;
    yield output.style("bold", title.padEnd(Math.min(width, 79), "-"));
    for (const spec of members) {
      yield row(spec, flags, output);
      for (const { node, depth } of tree(spec.hash))
        yield `${" ".repeat(flags.long || flags.veryLong ? 8 : 0)}${"    ".repeat(depth)}${node.name}@${node.version}`;
    }
    yield "";
  }
}

function row(spec: FoundSpec, flags: Flags, output: Output): string {
  const hash = flags.veryLong ? spec.hash : flags.long ? spec.hash.slice(0, 7) : "";
  const name = flags.namespaces && spec.namespace ? `${spec.namespace}.${spec.name}` : spec.name;
  const variants = flags.variants && spec.variants !== "" ? ` ${spec.variants}` : "";
  return `${hash === "" ? "" : `${output.style("dim", hash)} `}${printable(`${name}@${spec.version}${variants}`)}`;
}
