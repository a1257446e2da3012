// `stave run`: runs a program of a build cache; installs what is missing into the user's own store.

import { installHost } from "../../api/from-spack/install-host.ts";
import { withOwnStore } from "../../api/from-spack/run-store.ts";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { ownDiskCache } from "../../api/machine/cache-folder.ts";
import { DEFAULT_CACHE, isCacheWord } from "../../api/places/cache-choice.ts";
import { type TrustState, trustState } from "../../api/signers/trust-state.ts";
import { StaveError } from "../../errors.ts";
import { INSTALL_DEFAULTS } from "../../ops/install/options.ts";
import { variablesOf } from "../../ops/store/env-variables.ts";
import { type RememberedRun, RunMemory } from "../../ops/store/run-memory.ts";
import type { RunFlags, RunReport, RunWork } from "../arguments/install-to-run.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  collect,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addKeys, signersOf } from "../arguments/signer-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { programFor, replaceProcess } from "../machine/replace-process.ts";
import { count, formatBytes } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Installs the specs from the cache into a store of your own, unless they are there, sets the variables that they need, and becomes
the program: it has the terminal, the signals and the exit status. Spack is not needed. CACHE is
named as for stave install; the image of an environment, CACHE:TAG, stands for its specs.

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
    .option("--offline", "do not use the network: only repeat an earlier run")
    .option("-o, --otherarch", "also accept specs for other platforms, operating systems and processors")
    .option("-u, --unsigned", "take specs of mirrors without checking their signatures");
  addDryRun(command);
  addJobs(command, "how many specs to install at once", INSTALL_DEFAULTS.jobs);
  addSpack(addTransport(addKeys(addTrust(command)))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], RunFlags>(
    command,
    state,
    async (context, output, flags, first, more) => {
      const given = first === undefined ? [] : [first, ...more];
      const { words, program } = splitProgram(state.words, given);
      const files = new SpackFiles(context, withOwnStore(flags, context));
      const trust = await trustState(context, { ...flags, signedBy: signersOf(flags) });
      const memory = new RunMemory(ownDiskCache(context), await askedFor({ context, files, flags, words, trust }));
      const known = flags.refresh ? undefined : memory.get();
      const foreign = memory.foreignFolder;
      if (foreign !== undefined)
        output.warn(`runs are not remembered, because ${foreign} is not a folder that only you can change`);
      if (known === undefined && flags.offline)
        throw new StaveError("SPEC_NOT_INSTALLED", "these specs are not installed for `run` yet", {
          hint: "run the same command without --offline once",
        });
      const work = { context, output, flags, files, words, isStrict: trust.isStrict };
      if (flags.dryRun) {
        const report = known === undefined ? await (await loadInstaller()).planRun(work) : nothingFor(files, known);
        output.print(planText(report, program));
        output.report(report);
        return 0;
      }
      const run = known ?? (await (await loadInstaller()).installToRun(work));
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
async function askedFor({ context, files, flags, words, trust }: Asked): Promise<Record<string, unknown>> {
  const { discovery } = files;
  const { cwd } = context;
  const [first] = words;
  const lock = words.length === 0 ? await files.lock() : undefined;
  const named = [...(first !== undefined && isCacheWord(first, cwd) ? [first] : []), ...(flags.mirror ?? [])];
  const otherwise = context.env["STAVE_CACHE"] || (discovery.mirrors.length === 0 ? DEFAULT_CACHE : "");
  const places = [...words, ...(flags.mirror ?? []), ...(named.length === 0 ? [otherwise] : [])];
  return {
    version: 3,
    words,
    // Relative paths mean something else in another folder.
    cwd: places.some((text) => LOCAL.test(text)) ? cwd : undefined,
    roots: lock?.roots.map(({ node }) => node.hash),
    store: discovery.store?.tree,
    host: flags.otherarch ? undefined : installHost(files),
    caches: [
      flags.mirror,
      context.env["STAVE_CACHE"],
      discovery.mirrors.map((mirror) => [mirror.name, mirror.url("fetch")]),
    ],
    unsigned: flags.unsigned,
    trust: trust.key,
  };
}

interface Asked extends Pick<RunWork, "context" | "files" | "flags" | "words"> {
  readonly trust: TrustState;
}

const LOCAL = /^(?:oci-layout:|oci:(?!\/\/)|file:|\.{0,2}\/|\.{1,2}$)/;

const loadInstaller = () => import("../arguments/install-to-run.ts");

function nothingFor({ discovery }: SpackFiles, { specs }: RememberedRun): RunReport {
  return { store: discovery.store?.tree.root ?? "", specs, install: 0, download: 0 };
}

function planText({ store, install: missing, download }: RunReport, program: readonly string[]): string {
  const then = `would run ${program.join(" ")}`;
  return missing === 0
    ? `nothing to install; ${then}`
    : `would install ${count(missing, "spec")} into ${store}, ${formatBytes(download)} to download; ${then}`;
}

function environmentOf({ modifications }: RememberedRun, { env }: Context): Record<string, string> {
  const all = new Map(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  for (const { name, value } of variablesOf(modifications, env)) {
    if (value === undefined) all.delete(name);
    else all.set(name, value);
  }
  return Object.fromEntries(all);
}
