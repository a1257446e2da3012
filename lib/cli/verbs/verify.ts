// `stave verify`: checks whether installed files have changed since installation.

import { SpackFiles, type SpackFlags } from "../../api/spack-files.ts";
import { type VerifyReport, verify } from "../../ops/store/verify.ts";
import { printable } from "../../printable/printable.ts";
import { select, selectSome } from "../../spack/query/select.ts";
import { interruptedSpecs } from "../../store/recover.ts";
import { addJobs, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  jobs: number;
}

const HELP = `
Compares the files in each prefix with the list that was made during installation: existence, owner, group, mode, content, time
and link targets, like \`spack verify manifest\`. Without SPEC, checks everything that is installed; externals have no such list.
Exits with status 1 if something differs.

Examples:
  stave verify
  stave verify hdf5 --json`;

const JOBS = 4;

/** The command `stave verify`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("verify", "check whether installed files have changed").argument(
    "[specs...]",
    "the specs to check (default: everything that is installed)",
  );
  addJobs(command, "how many specs to check at once", JOBS);
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, words) => {
    const files = new SpackFiles(context, flags);
    const store = await files.store();
    const nodes = [...store.records()].filter(({ installed }) => installed).map(({ node }) => node);
    const { graph } = store.database;
    const candidates = { nodes, graph, place: `the store ${store.root}` };
    const queries = await files.queries(words);
    for (const query of queries) selectSome(candidates, query);
    const chosen = select(candidates, queries);
    const records = chosen.flatMap(({ hash }) => store.get(hash) ?? []);
    const report = await verify({ store, records, jobs: flags.jobs, signal: context.signal });
    for (const text of render(report, output)) output.print(text);
    await using locks = files.locks(store, (text) => output.note(text));
    const interrupted = await interruptedSpecs(store, locks);
    for (const { hash, prefix } of interrupted)
      output.print(
        `${hash.slice(0, 7)} ${printable(prefix)}: a run was killed here; the next install or uninstall puts it right`,
      );
    output.report({ ...report, interrupted });
    return report.differing > 0 ? 1 : 0;
  });
};

function* render({ specs, differing }: VerifyReport, output: Output): Iterable<string> {
  for (const { name, version, hash, differences } of specs) {
    const all = Object.entries(differences);
    if (all.length === 0) continue;
    yield output.style("bold", printable(`${name}@${version}/${hash.slice(0, 7)}`));
    for (const [path, problems] of all) yield `  ${printable(path)}: ${output.style("red", problems.join(", "))}`;
  }
  const entries = specs.reduce((sum, spec) => sum + spec.entries, 0);
  const result = differing === 0 ? "all as they were installed" : `${count(differing, "package")} with differences`;
  yield `${count(specs.length, "package")}, ${count(entries, "file, link or folder", "files, links and folders")}: ${result}`;
}
