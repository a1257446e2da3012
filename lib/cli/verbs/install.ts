// `stave install`: installs binaries from build caches into a Spack store.

import { basename } from "node:path";
import { Option } from "commander";
import { openInstallation } from "../../api/from-spack/open-installation.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { splitCache } from "../../api/places/cache-choice.ts";
import { aggregate } from "../../errors.ts";
import { type InstallOptions, install, planInstall } from "../../ops/install/install.ts";
import { INSTALL_DEFAULTS } from "../../ops/install/options.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  type CommonFlags,
  collect,
  helpText,
  onlyOption,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addKeys, type SignerFlags, signersOf } from "../arguments/signer-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { count } from "../output/formatting.ts";
import { Workflow } from "../output/github.ts";
import { installLine, installPlanText, installSummary } from "../output/install-text.ts";
import type { Output } from "../output/output.ts";
import { shellWord } from "../output/typeable.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, SignerFlags {
  mirror?: string[];
  dryRun?: boolean;
  force?: boolean;
  multiple?: boolean;
  unsigned?: boolean;
  otherarch?: boolean;
  only?: "package" | "dependencies";
  withBuildDependencies?: boolean;
  strict?: boolean;
  allFiles?: boolean;
  allowRoot?: boolean;
  databaseVersion?: string;
  jobs: number;
}

const HELP = `
Installs specs with their link and run dependencies: checks digests, relocates files to the store, and records the specs in its
database. Spack may use the same store at the same time. SPEC is looked up in the index of the cache; /hash and spec files need
only the tags. Without SPEC, installs the roots of the environment's lock file. CACHE is
${CACHE_ARGUMENT}.

Examples:
  stave install oci://ghcr.io/org/cache hdf5 --store ~/spack/store
  stave install -e . --mirror oci://ghcr.io/org/cache --mirror oci-layout:./stave-cache
  stave install oci-layout:./stave-cache /abc1234 --store /opt/software --sysroot ./image
  stave install oci://ghcr.io/org/cache hdf5 --plan`;

/** The command `stave install`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("install", "install specs from build caches into a Spack store")
    .argument("[cache]", "the cache to install from")
    .argument("[specs...]", "the specs to install: queries, /hash or spec files")
    .option("--mirror <cache>", "another cache, tried after the ones before it (may be repeated)", collect)
    .option("-f, --force", "reinstall specs that are already installed")
    .option("-m, --multiple", "install every spec that a query matches, instead of exactly one")
    .option("-o, --otherarch", "also accept specs for other platforms, operating systems and processors")
    .addOption(onlyOption("install"))
    .option("--with-build-dependencies", "also install build-only dependencies")
    .option("--strict", "fail if files still contain the original path")
    .option("--all-files", "also relocate files that Spack leaves alone")
    .addOption(
      new Option(
        "--database-version <version>",
        "database version of a new store: 7 for Spack 0.20 to 0.23, 8 for later (default: the version of the Spack in use)",
      ).choices(["7", "8"]),
    )
    .option("-u, --unsigned", "take specs of mirrors without checking their signatures")
    .addOption(new Option("-a, --allow-root", "no effect: archives are never searched for store paths").hideHelp());
  addDryRun(command);
  addJobs(command, "how many specs to install at once", INSTALL_DEFAULTS.jobs);
  addSpack(addTransport(addKeys(addTrust(command)))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(command, state, run);
};

async function run(
  context: Context,
  output: Output,
  flags: Flags,
  ...[first, more]: [string | undefined, string[]]
): Promise<number> {
  const files = new SpackFiles(context, flags);
  const { discovery } = files;
  const args = first === undefined ? [] : [first, ...more];
  const { cache: named, specs: texts } = splitCache(args, discovery.mirrors, context.cwd);
  const trusted = { ...flags, signedBy: signersOf(flags) };
  const place = { context, output, flags: trusted, files, specs: texts, verifies: flags.unsigned !== true };
  const { mirror = [] } = flags;
  await using opened = await readCaches(named === undefined ? mirror : [named, ...mirror], place);
  await using installation = await openInstallation({
    files,
    around: context,
    caches: opened.caches,
    words: texts,
    isMany: flags.multiple === true,
    anyArchitecture: flags.otherarch,
    databaseVersion: flags.databaseVersion,
    onNote: (text) => output.note(text),
    onWarning: (text) => output.warn(text),
  });
  const options: InstallOptions = {
    ...installation.options,
    only: flags.only,
    withBuildDependencies: flags.withBuildDependencies,
    force: flags.force,
    strict: flags.strict,
    allFiles: flags.allFiles,
    jobs: flags.jobs,
    progress: output.progress,
    onSpec: (spec) => {
      const line = installLine(spec);
      if (line !== undefined) output.note(line);
    },
  };
  const { store } = options;
  if (store.stamp === undefined)
    output.note(`there is no store in ${store.root} yet; ${flags.dryRun ? "it would be made" : "it is made"}`);
  if (flags.dryRun) {
    const plan = await planInstall(options);
    output.print(installPlanText(plan, output.columns));
    output.report(plan);
    return 0;
  }
  const endGroup = new Workflow(context, output).group(
    `install ${count(options.roots.length, "spec")} into ${store.root}`,
  );
  const report = await install(options).finally(endGroup);
  output.print(installSummary(report, flags.verbose));
  if (report.failures.length > 0) return output.fail(aggregate([...report.failures], "specs"), report);
  output.note(`to use them: ${useLine(texts, context, output)}`);
  output.report(report);
  return 0;
}

/** The line that makes the specs usable in the user's shell, completed with the flags of this call. */
function useLine(texts: readonly string[], { env }: Context, output: Output): string {
  const shell = basename(env["SHELL"] ?? "");
  const words = ["stave env", ...texts.map(shellWord)].join(" ");
  if (shell === "fish") return `${output.command(`${words} --fish`)} | source`;
  if (shell === "csh" || shell === "tcsh") return `eval \`${output.command(`${words} --csh`)}\``;
  return `eval "$(${output.command(words)})"`;
}
