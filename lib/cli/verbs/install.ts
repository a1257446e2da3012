// `stave install`: binaries from build caches into a Spack store.

import { Option } from "commander";
import type { ReadOciCache } from "../../cache/oci-cache.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { fitsHost, type InstallOptions, install, planInstall } from "../../ops/install/install.ts";
import { type HostArchitecture, INSTALL_DEFAULTS } from "../../ops/install/options.ts";
import { InstallSource } from "../../ops/install/source.ts";
import { permissions } from "../../spack/config/settings.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import type { SpecDocument } from "../../spack/spec/spec-file.ts";
import type { Store } from "../../spack/store/store.ts";
import { directoryMode } from "../../store/staged-prefix.ts";
import {
  CACHE_ARGUMENT,
  defaultMirrors,
  type OpenedCache,
  readCache,
  splitCache,
} from "../arguments/cache-location.ts";
import {
  addJobs,
  addTransport,
  type CommonFlags,
  collect,
  helpText,
  onlyOption,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addSpack, SpackFiles, type SpackFlags } from "../arguments/spack-options.ts";
import { nothingNamed } from "../arguments/spack-specs.ts";
import type { Context } from "../machine/context.ts";
import { findProgram } from "../machine/programs.ts";
import { currentHost } from "../machine/read-machine.ts";
import { count } from "../output/formatting.ts";
import { Workflow } from "../output/github.ts";
import { installLine, installPlanText, installSummary } from "../output/install-text.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirror?: string[];
  plan?: boolean;
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
Installs specs and what they link and run, checked against their digests, relocated to the store, and known to its database: Spack
may use the same store at the same time. SPEC is looked up in the cache: its index, or for /hash and spec files its tags alone.
Without SPEC the roots of the environment's lock file are installed. CACHE is
${CACHE_ARGUMENT}.

Examples:
  stave install oci://ghcr.io/org/cache hdf5 --store ~/spack/store
  stave install -e . -m oci://ghcr.io/org/cache -m oci-layout:./stave-cache
  stave install oci-layout:./stave-cache /abc1234 --store /opt/software --sysroot ./image
  stave install oci://ghcr.io/org/cache hdf5 --plan`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("install", "install specs from build caches into a Spack store")
    .argument("[cache]", "where from")
    .argument("[specs...]", "specs of the cache: queries, /hash or spec files")
    .option("-m, --mirror <cache>", "one more cache, asked after the others (may be repeated)", collect)
    .option("--plan", "tell what would be done, and do nothing")
    .option("-f, --force", "replace what is installed")
    .option("--multiple", "take all specs that a query fits, not exactly one")
    .option("-o, --otherarch", "take specs for other platforms, systems and processors, too")
    .addOption(onlyOption("install"))
    .option("--with-build-dependencies", "also what is needed for building only")
    .option("--strict", "fail when files still name the old place")
    .option("--all-files", "change what files hold of the old place even where Spack leaves them alone")
    .addOption(
      new Option(
        "--database-version <version>",
        "of the database of a new store: 7 for Spack 0.20 to 0.23, 8 for later ones (default: that of the Spack in use)",
      ).choices(["7", "8"]),
    )
    .option("-u, --unsigned", "take specs without a signature (those of images have none)")
    .addOption(new Option("-a, --allow-root", "accepted: archives are never searched for roots").hideHelp());
  addJobs(command, "specs that are worked on at once", INSTALL_DEFAULTS.jobs);
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(command, state, run);
};

async function run(
  context: Context,
  output: Output,
  flags: Flags,
  first: string | undefined,
  more: string[],
): Promise<number> {
  const files = new SpackFiles(context, flags);
  const { discovery } = files;
  const args = first === undefined ? [] : [first, ...more];
  const { cache: named, specs: texts } = splitCache(args, discovery.mirrors, context.cwd);
  const place = { context, output, flags, files };
  const caches: OpenedCache<ReadOciCache>[] = [];
  let warned = false;
  try {
    const { mirror = [] } = flags;
    const said = named === undefined ? mirror : [named, ...mirror];
    const meant = said.length > 0 ? said : defaultMirrors("fetch", place);
    const names = meant.length > 0 ? meant : [undefined];
    for (const name of names) caches.push(await readCache(name, place));
    const source = new InstallSource(caches.map(({ cache }) => cache));
    const isOldSpack = discovery.installation?.version.startsWith("0.") === true;
    const emptyVersion = Number(flags.databaseVersion ?? (isOldSpack ? 7 : 8));
    const store = await files.store({ mayBeEmpty: true, emptyVersion });
    await using locks = files.locks(store, output);
    const host = flags.otherarch ? undefined : currentHost(context);
    const options: InstallOptions = {
      store,
      source,
      roots: await rootsOf({ files, source, store, host, isMany: flags.multiple === true, context }, texts),
      only: flags.only,
      withBuildDependencies: flags.withBuildDependencies,
      force: flags.force,
      strict: flags.strict,
      allFiles: flags.allFiles,
      host,
      permissionsOf: (name) => {
        const wanted = permissions(discovery.configuration, name);
        if (wanted.group !== undefined && !warned) {
          warned = true;
          output.warn(`the group ${wanted.group} of the configuration is not given to what is installed`);
        }
        const directory = directoryMode(wanted);
        return { directory, file: directory & 0o777 };
      },
      patchelf: findProgram("patchelf", context),
      locks,
      jobs: flags.jobs,
      clock: context.clock,
      progress: output.progress,
      onSpec: (spec) => {
        const line = installLine(spec);
        if (line !== undefined) output.note(line);
      },
      signal: context.signal,
    };
    if (flags.plan) {
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
    output.report(report);
    return 0;
  } finally {
    for (const opened of caches) await opened[Symbol.asyncDispose]();
  }
}

interface Lookup {
  readonly files: SpackFiles;
  readonly source: InstallSource;
  readonly store: Store;
  readonly host: HostArchitecture | undefined;
  /** A query may fit several specs. */
  readonly isMany: boolean;
  readonly context: Context;
}

async function rootsOf(lookup: Lookup, words: readonly string[]): Promise<InstallOptions["roots"]> {
  const { files, store } = lookup;
  if (words.length === 0) {
    const lock = await files.lock();
    if (lock === undefined) throw nothingNamed();
    const { graph } = lock;
    return [...new Map(lock.roots.map(({ node }) => [node.hash, { node, graph }])).values()];
  }
  const roots = new Map<string, InstallOptions["roots"][number]>();
  for (const { query, text } of await files.specs(words)) {
    // What is known by its whole hash and installed need not be asked for.
    const there = query.hash === undefined ? undefined : store.get(query.hash);
    if (there?.installed) roots.set(there.node.hash, { node: there.node, graph: store.database.graph });
    else
      for (const { root, graph } of await candidates(lookup, query, text)) roots.set(root.hash, { node: root, graph });
  }
  if (roots.size === 0) throw nothingNamed();
  return [...roots.values()];
}

// Of several, those for this machine are meant.
async function candidates(
  { source, host, isMany, context }: Lookup,
  query: SpecQuery,
  text: string,
): Promise<SpecDocument[]> {
  const all = await source.find(query, text, { signal: context.signal });
  const fitting = all.filter(({ root }) => fitsHost(root, host));
  const found = fitting.length > 0 ? fitting : all;
  if (found.length === 1 || isMany) return found;
  const names = found.slice(0, 10).map(({ root }) => `${root.name}@${root.version}/${root.hash.slice(0, 7)}`);
  throw new StaveError("USAGE", `${text} is ${found.length} specs of ${source.name}: ${names.join(", ")}`, {
    hint: "name one by its hash, or take all with --multiple",
  });
}
