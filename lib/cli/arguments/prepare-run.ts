// What `run` and `shell` share: their flags, and the specs that they make usable, from an earlier run or installed now.
import type { Command } from "commander";
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
import type { Context } from "../machine/context.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import type { RunFlags, RunReport, RunWork } from "./install-to-run.ts";
import { addDryRun, addJobs, addTransport, addTrust, collect } from "./shared-flags.ts";
import { addKeys, signersOf } from "./signer-flags.ts";
import { addSpack } from "./spack-options.ts";

/** Adds the flags of verbs that install what is missing and use it at once. */
export function addRun(command: Command): Command {
  command
    .option("--mirror <cache>", "another cache, tried after the ones before it (may be repeated)", collect)
    .option("--refresh", "look up the specs again, even if an earlier run has installed them")
    .option("--offline", "do not use the network: only repeat an earlier run")
    .option("-o, --otherarch", "also accept specs for other platforms, operating systems and processors")
    .option("-u, --unsigned", "take specs of mirrors without checking their signatures");
  addDryRun(command);
  addJobs(command, "how many specs to install at once", INSTALL_DEFAULTS.jobs);
  return addSpack(addTransport(addKeys(addTrust(command))), "own");
}

/** What a verb was called with. */
interface RunCall {
  readonly context: Context;
  readonly output: Output;
  readonly flags: RunFlags;
  /** CACHE and SPEC arguments. */
  readonly words: readonly string[];
}

/**
 * Installs what is missing, unless an earlier run is remembered; for a dry run, returns its report instead. Throws
 * SPEC_NOT_INSTALLED with --offline, and what the installation throws.
 */
export async function prepareRun({ context, output, flags, words }: RunCall): Promise<RememberedRun | RunReport> {
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
  if (flags.dryRun) return known === undefined ? await (await loadInstaller()).planRun(work) : nothingFor(files, known);
  const run = known ?? (await (await loadInstaller()).installToRun(work));
  if (known === undefined) memory.set(run);
  return run;
}

/** True for the report of a dry run. */
export const isPlan = (prepared: RememberedRun | RunReport): prepared is RunReport => "download" in prepared;

// Everything that decides what is run, as far as it is known without a request.
async function askedFor({ context, files, flags, words, trust }: Asked): Promise<Record<string, unknown>> {
  const { discovery } = files;
  const { cwd } = context;
  const [first] = words;
  const lock = words.length === 0 ? await files.lock() : undefined;
  const named = [...(first !== undefined && isCacheWord(first, cwd) ? [first] : []), ...(flags.mirror ?? [])];
  const otherwise =
    context.env["STAVE_CACHE"] || context.project?.cache || (discovery.mirrors.length === 0 ? DEFAULT_CACHE : "");
  const places = [...words, ...(flags.mirror ?? []), ...(named.length === 0 ? [otherwise] : [])];
  return {
    version: 4,
    words,
    // Relative paths mean something else in another folder.
    cwd: places.some((text) => LOCAL.test(text)) ? cwd : undefined,
    roots: lock?.roots.map(({ node }) => node.hash),
    store: discovery.store?.tree,
    host: flags.otherarch ? undefined : installHost(files),
    caches: [
      flags.mirror,
      context.env["STAVE_CACHE"] || context.project?.cache,
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

const loadInstaller = () => import("./install-to-run.ts");

function nothingFor({ discovery }: SpackFiles, { specs }: RememberedRun): RunReport {
  return { store: discovery.store?.tree.root ?? "", specs, install: 0, download: 0 };
}

/** The report of a dry run, as text; `then` says what would follow. */
export function planText({ store, install: missing, download }: RunReport, then: string): string {
  return missing === 0
    ? `nothing to install; ${then}`
    : `would install ${count(missing, "spec")} into ${store}, ${formatBytes(download)} to download; ${then}`;
}

/** The environment of this process, with the variables that the specs need. */
export function environmentOf({ modifications }: RememberedRun, { env }: Context): Record<string, string> {
  const all = new Map(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  for (const { name, value } of variablesOf(modifications, env)) {
    if (value === undefined) all.delete(name);
    else all.set(name, value);
  }
  return Object.fromEntries(all);
}
