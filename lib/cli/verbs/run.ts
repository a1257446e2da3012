// `stave run`: runs a program of a build cache; installs what is missing into the user's own store.
import { readFileSync } from "node:fs";
import { splitCache } from "../../api/cache-choice.ts";
import { diskCache } from "../../api/cache-folder.ts";
import { installRoots, installSide, installStore } from "../../api/install-roots.ts";
import { currentHost } from "../../api/read-machine.ts";
import { withOwnStore } from "../../api/run-store.ts";
import { SpackFiles, type SpackFlags } from "../../api/spack-files.ts";
import { policyPath, type TrustOptions } from "../../api/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { digestOf } from "../../oci/digest.ts";
import { formatLocation, namesPlace, parseLocation } from "../../oci/reference.ts";
import { readEnvironmentImage } from "../../ops/image/tagged-image.ts";
import { type InstallOptions, install, planInstall } from "../../ops/install/install.ts";
import { INSTALL_DEFAULTS } from "../../ops/install/options.ts";
import type { InstalledSpec } from "../../ops/install/report.ts";
import { InstallSource } from "../../ops/install/source.ts";
import { runModifications, variablesOf } from "../../ops/store/env.ts";
import { type RememberedRun, RunMemory } from "../../ops/store/run-memory.ts";
import { LINK, RUN } from "../../spack/spec/node.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import { namedIn, repositoryOf } from "../arguments/image-location.ts";
import { openNetwork } from "../arguments/open.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  type CommonFlags,
  collect,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addKeys, type SignerFlags, signersOf } from "../arguments/signer-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { programFor, replaceProcess } from "../machine/replace-process.ts";
import { count, formatBytes } from "../output/formatting.ts";
import { installLine } from "../output/install-text.ts";
import type { Output } from "../output/output.ts";
import { recipeWarnings } from "../output/recipe-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, SignerFlags, TrustOptions {
  mirror?: string[];
  refresh?: boolean;
  offline?: boolean;
  dryRun?: boolean;
  otherarch?: boolean;
  unsigned?: boolean;
  jobs: number;
}

const HELP = `
Installs the specs from the cache into a store of your own, unless they are there, sets the variables that they need, and becomes
the program: it has the terminal, the signals and the exit status. Spack is not needed. CACHE is
${CACHE_ARGUMENT}; or the image of an environment, CACHE:TAG, whose specs are used.

The second run of the same specs sends no request: --refresh looks for newer ones, --offline never uses the network. The
store is $XDG_DATA_HOME/stave/store (~/.local/share/stave/store), or --store.

Examples:
  stave run oci://ghcr.io/org/cache hdf5 -- h5dump --version
  stave run ghcr.io/org/cache:my-env -- python3 script.py
  stave run oci://ghcr.io/org/cache python py-numpy -- python3 -c 'import numpy'
  stave run -e ./my-env --mirror oci://ghcr.io/org/cache -- bash`;

/** The command `stave run`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("run", "run a program from a build cache, without Spack")
    .argument("[cache]", "the cache, or the image of an environment")
    .argument("[specs...]", "the specs whose programs to use, then -- and the program with its arguments")
    .usage("[options] [cache] [specs...] -- program [arguments...]")
    .option("--mirror <cache>", "another cache, tried after the ones before it (may be repeated)", collect)
    .option("--refresh", "look up the specs again, even if an earlier run has installed them")
    .option("--offline", "use only what is installed")
    .option("-o, --otherarch", "also accept specs for other platforms, operating systems and processors")
    .option("-u, --unsigned", "take specs of mirrors without checking their signatures");
  addDryRun(command);
  addJobs(command, "how many specs to install at once", INSTALL_DEFAULTS.jobs);
  addSpack(addTransport(addKeys(addTrust(command)))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(
    command,
    state,
    async (context, output, flags, first, more) => {
      const given = first === undefined ? [] : [first, ...more];
      const { words, program } = splitProgram(state.words, given);
      const files = new SpackFiles(context, withOwnStore(flags, context));
      const memory = new RunMemory(diskCache(context), await askedFor(context, files, flags, words));
      const known = flags.refresh ? undefined : memory.get();
      if (known === undefined && flags.offline)
        throw new StaveError("SPEC_NOT_INSTALLED", "these specs are not installed for `run` yet", {
          hint: "run the same command without --offline once",
        });
      const work = { context, output, flags, files, words };
      if (flags.dryRun) {
        const report = await planOf(work, known);
        output.print(planText(report, program));
        output.report(report);
        return 0;
      }
      const run = known ?? (await withInstallation(work, installed));
      if (known === undefined) memory.set(run);
      const env = environmentOf(run, context);
      const found = programFor(program, env, context);
      output.endProgress();
      return await replaceProcess(found);
    },
  );
};

/** Splits the words at the `--` that commander has removed. Throws USAGE without a program. */
function splitProgram(
  typed: readonly string[],
  given: readonly string[],
): { readonly words: readonly string[]; readonly program: readonly string[] } {
  const at = typed.indexOf("--");
  const program = at < 0 ? [] : typed.slice(at + 1);
  if (program.length === 0)
    throw new StaveError("USAGE", "no program is named", {
      hint: `write -- before the program: stave run ${given.join(" ") || "SPEC"} -- PROGRAM`,
    });
  return { words: given.slice(0, given.length - program.length), program };
}

// Everything that decides what is run, as far as it is known without a request.
async function askedFor(
  context: Context,
  files: SpackFiles,
  flags: Flags,
  words: readonly string[],
): Promise<Record<string, unknown>> {
  const { discovery } = files;
  const { key, certificateIdentity, certificateOidcIssuer, trust, insecureNoSignatureCheck } = flags;
  const policy = insecureNoSignatureCheck ? undefined : policyPath(context, { trust });
  const lock = words.length === 0 ? await files.lock() : undefined;
  return {
    version: 1,
    words,
    // Relative paths mean something else in another folder.
    cwd: [...words, ...(flags.mirror ?? [])].some((text) => LOCAL.test(text)) ? context.cwd : undefined,
    roots: lock?.roots.map(({ node }) => node.hash),
    store: discovery.store?.tree,
    host: flags.otherarch ? undefined : currentHost(context),
    caches: [
      flags.mirror,
      context.env["STAVE_CACHE"],
      discovery.mirrors.map((mirror) => [mirror.name, mirror.url("fetch")]),
    ],
    signers: [key, certificateIdentity, certificateOidcIssuer, flags.unsigned],
    policy: policy === undefined ? undefined : digestOf(readFileSync(policy)),
  };
}

const LOCAL = /^(?:oci-layout:|oci:(?!\/\/)|file:|\.{0,2}\/)/;

interface RunWork {
  readonly context: Context;
  readonly output: Output;
  readonly flags: Flags;
  readonly files: SpackFiles;
  readonly words: readonly string[];
}

/** The report of a dry run. */
interface RunReport {
  readonly store: string;
  /** The DAG hashes of the specs whose programs are used. */
  readonly specs: readonly string[];
  /** How many specs must be installed, dependencies included, and how many bytes are downloaded for them. */
  readonly install: number;
  readonly download: number;
}

async function planOf(work: RunWork, known: RememberedRun | undefined): Promise<RunReport> {
  const store = work.files.discovery.store?.tree.root ?? "";
  if (known !== undefined) return { store, specs: known.specs, install: 0, download: 0 };
  return await withInstallation(work, async (options) => {
    const { totals } = await planInstall(options);
    return { store, specs: options.roots.map(({ node }) => node.hash), ...totals };
  });
}

function planText({ store, install: missing, download }: RunReport, program: readonly string[]): string {
  const then = `would run ${program.join(" ")}`;
  return missing === 0
    ? `nothing to install; ${then}`
    : `would install ${count(missing, "spec")} into ${store}, ${formatBytes(download)} to download; ${then}`;
}

/** Opens what an installation of the named specs needs. */
async function withInstallation<T>(
  work: RunWork,
  use: (options: InstallOptions, work: RunWork) => Promise<T>,
): Promise<T> {
  const { context, output, flags, files } = work;
  const { signal } = context;
  const { cache: named, specs } = await specsOf(work);
  const place = { context, output, flags: { ...flags, signedBy: signersOf(flags) }, files, specs };
  const caches = [...(named === undefined ? [] : [named]), ...(flags.mirror ?? [])];
  await using opened = await readCaches(caches, { ...place, verifies: flags.unsigned !== true });
  const source = new InstallSource(opened.caches);
  const store = await installStore(files);
  await using locks = files.locks(store, (text) => output.note(text));
  const host = flags.otherarch ? undefined : currentHost(context);
  const lookup = { files, source, store, host, isMany: false, signal };
  const roots = await installRoots(lookup, specs);
  const onSpec = (spec: InstalledSpec): void => {
    const line = installLine(spec);
    if (line !== undefined) output.detail(line);
  };
  const { jobs } = flags;
  const common = { store, source, roots, host, locks, jobs, onSpec, clock: context.clock, signal };
  const side = installSide(files, context, (text) => output.warn(text));
  return await use({ ...common, ...side, progress: output.progress }, work);
}

/** Installs the specs, and finds out their variables. */
async function installed(options: InstallOptions, { files, output }: RunWork): Promise<RememberedRun> {
  const { store, roots } = options;
  const report = await install(options);
  if (report.failures.length > 0) throw aggregate([...report.failures], "specs");
  const { installed: added } = report.totals;
  if (added > 0) output.note(`${count(added, "spec")} installed into ${store.root}`);
  const now = await installStore(files);
  const nodes = roots.map(({ node }) => now.get(node.hash)?.node ?? node);
  const { modifications, notUnderstood } = runModifications({
    store: now,
    roots: nodes,
    inspections: files.discovery.inspections,
  });
  for (const text of recipeWarnings(notUnderstood, "your own `export`")) output.warn(text);
  const closure = postOrder(nodes, { types: LINK | RUN });
  const prefixes = closure.flatMap((node) => now.get(node.hash)?.path ?? []);
  return { specs: nodes.map(({ hash }) => hash), prefixes, modifications };
}

/** The cache and the specs that the words name; an image of an environment stands for its specs. */
async function specsOf({ context, output, flags, files, words }: RunWork): Promise<ReturnType<typeof splitCache>> {
  const [first, ...rest] = words;
  const location = first !== undefined && namesPlace(first) ? parseLocation(first) : undefined;
  const image = location && namedIn(location);
  if (first === undefined || location === undefined || image === undefined)
    return splitCache(words, files.discovery.mirrors, context.cwd);
  if (rest.length > 0)
    throw new StaveError("USAGE", `${first} is an image, which has specs of its own`, {
      hint: "leave the tag out to name specs of the cache",
    });
  await using opener = await openNetwork({ context, output, flags, places: [location] });
  const { layers } = await readEnvironmentImage(await opener.read(location), image, { signal: context.signal });
  const hashes = layers.flatMap((layer) => layer.hashes);
  if (hashes.length === 0)
    throw new StaveError("MEDIA_TYPE", `${first} is not the image of an environment that stave pushed`, {
      hint: "name specs of the cache instead",
    });
  return { cache: formatLocation(repositoryOf(location)), specs: hashes.map((hash) => `/${hash}`) };
}

function environmentOf({ modifications }: RememberedRun, { env }: Context): Record<string, string> {
  const all = new Map(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  for (const { name, value } of variablesOf(modifications, env)) {
    if (value === undefined) all.delete(name);
    else all.set(name, value);
  }
  return Object.fromEntries(all);
}
