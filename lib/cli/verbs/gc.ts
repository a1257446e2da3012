// `stave gc`: removes installed specs that nothing needs any more, from the store of `run` or any other.

import { Option } from "commander";
import { gcOptions } from "../../api/from-spack/gc-roots.ts";
import { withOwnStore } from "../../api/from-spack/run-store.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { StaveError } from "../../errors.ts";
import { parseDuration } from "../../ops/cache/prune.ts";
import { type GcOptions, type GcReport, gc, planGc } from "../../ops/store/gc.ts";
import { printable } from "../../printable/printable.ts";
import { recoverStore } from "../../store/recover.ts";
import { addDryRun, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { confirm } from "../output/confirm.ts";
import { count } from "../output/formatting.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, SpackFlags {
  keepRuns: string;
  grace: string;
  keepBuildDependencies?: boolean;
  yes?: boolean;
  yesToAll?: boolean;
  dryRun?: boolean;
}

const HELP = `
Works on the store of stave run, or on --store. What was installed by name stays, with its link and run
dependencies, as with spack gc. So does what stave run or stave shell has used within --keep-runs, what environments need, what a program
of yours is using, what was installed within --grace, and what another stave or Spack holds at this moment. A later
stave run installs again what it misses. Asks before it removes anything; without a terminal, --yes is required.

Examples:
  stave gc --plan
  stave gc --yes --keep-runs 7d
  stave gc --store ~/spack/opt/spack --keep-build-dependencies`;

/** The command `stave gc`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("gc", "remove installed specs that nothing needs")
    .option("--keep-runs <time>", "keep what `run` and `shell` have used within this time", "30d")
    .option("--grace <time>", "keep what was installed within this time", "1d")
    .option("-b, --keep-build-dependencies", "also keep what the kept specs were built with")
    .option("-y, --yes", "do not ask for confirmation")
    // Spack's spelling.
    .addOption(new Option("--yes-to-all").hideHelp());
  addSpack(addDryRun(command), "own").addHelpText("after", helpText(HELP));
  return bindAction<[], Flags>(command, state, async (context, output, flags) => {
    const files = new SpackFiles(context, withOwnStore(flags, context));
    const keepsBuildDependencies = flags.keepBuildDependencies === true;
    const times = {
      grace: parseDuration(flags.grace, "--grace"),
      runs: parseDuration(flags.keepRuns, "--keep-runs"),
    };
    const store = await files.store({ mayBeEmpty: flags.store === undefined });
    const options = (): Promise<GcOptions> =>
      gcOptions(store, { files, around: context, ...times, sysroot: flags.sysroot, keepsBuildDependencies });
    if (store.stamp === undefined) {
      output.note(`there is no store in ${store.root}`);
      output.report({ ...planGc(await options()), dryRun: true });
      return 0;
    }
    await using locks = files.locks(store, (text) => output.note(text));
    if (!flags.dryRun) await recoverStore(store, locks, context.signal);
    const chosen = await options();
    const plan = planGc(chosen);
    if (flags.dryRun || plan.specs.length === 0) {
      show(plan, output, flags.dryRun ? "would remove" : "removed");
      output.report({ ...plan, dryRun: flags.dryRun === true });
      return 0;
    }
    if (flags.yes !== true && flags.yesToAll !== true) {
      for (const text of rows(plan, output)) output.note(text);
      if (!(await confirm(context, `remove ${count(plan.specs.length, "spec")} from ${store.root}?`)))
        throw new StaveError("ABORTED", "nothing was removed");
    }
    const report = await gc({ ...chosen, locks, clock: context.clock });
    show(report, output, "removed");
    output.report({ ...report, dryRun: false });
    return 0;
  });
};

function* rows({ specs }: GcReport, output: Output): Iterable<string> {
  for (const { name, version, hash, external } of specs)
    yield `${output.style("dim", hash.slice(0, 7))} ${printable(`${name}@${version}`)}${external ? output.style("dim", "  external: only its record") : ""}`;
}

const REASONS = {
  explicit: "installed by name",
  environments: "in environments",
  runs: "used by recent runs",
  inUse: "in use",
  young: "installed recently",
  dependencies: "needed by them",
} as const;

function show(report: GcReport, output: Output, done: string): void {
  for (const text of rows(report, output)) output.print(text);
  const { store, specs, kept, locked } = report;
  const reasons = Object.entries(REASONS).flatMap(([key, text]) => {
    const number = kept[key as keyof typeof REASONS];
    return number > 0 ? [`${number} ${text}`] : [];
  });
  const stay = reasons.length > 0 ? `; ${reasons.join(", ")}` : "";
  const what = specs.length === 0 ? "nothing to remove" : `${done} ${count(specs.length, "spec")}`;
  output.note(printable(`${what} from ${store}${stay}`));
  if (locked.length > 0) output.note(`${count(locked.length, "spec")} stay, because another process holds them`);
}
