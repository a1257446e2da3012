// What `run` and `shell` share: their flags, and the specs that they make usable, from an earlier run or installed now.
import { resolve } from "node:path";
import type { Command } from "commander";
import { installHost } from "../../api/from-spack/install-host.ts";
import { withOwnStore } from "../../api/from-spack/run-store.ts";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { ownDiskCache } from "../../api/machine/cache-folder.ts";
import { lineKey } from "../../api/machine/line-key.ts";
import { DEFAULT_CACHE, isCacheWord } from "../../api/places/cache-choice.ts";
import { type TrustState, trustState } from "../../api/signers/trust-state.ts";
import { StaveError } from "../../errors.ts";
import { digestOf } from "../../oci/digest.ts";
import { INSTALL_DEFAULTS } from "../../ops/install/options.ts";
import { type RememberedRun, RunMemory, runQuestion } from "../../ops/store/run-memory.ts";
import { isSpecFile } from "../../spack/query/spec-words.ts";
import { SPEC_FILE_LIMIT } from "../../spack/spec/spec-file.ts";
import { stampFiles } from "../../util/file-stamps.ts";
import { readBounded } from "../../util/read-file.ts";
import { type RememberedAnswer, rememberAnswer } from "../../util/remembered-answer.ts";
import { type WatchedVariables, watchVariables } from "../../util/watched-variables.ts";
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
  /** The command line up to the program, to be remembered for the next time. */
  readonly line?: readonly string[] | undefined;
}

/**
 * Installs what is missing, unless an earlier run is remembered; for a dry run, returns its report instead. Throws
 * SPEC_NOT_INSTALLED with --offline, and what the installation throws.
 */
export async function prepareRun({ context, output, flags, words, line }: RunCall): Promise<RememberedRun | RunReport> {
  const watched = watchVariables(context.env);
  const around = { ...context, env: watched.env };
  const files = new SpackFiles(around, withOwnStore(flags, around));
  const trust = await trustState(around, { ...flags, signedBy: signersOf(flags) });
  const asked = await askedFor({ context: around, files, flags, words, trust });
  const entries = ownDiskCache(context);
  const memory = new RunMemory(entries, RunMemory.keyOf(asked));
  // Taken now: what changes while specs are installed did not decide which ones.
  const decided =
    line === undefined || !isPlain(flags)
      ? undefined
      : decidedBy(watched, [...files.inputs, ...trust.files, ...pathsAmong(words, context.cwd)], context);
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
  if (line !== undefined && decided !== undefined)
    rememberAnswer(runQuestion(entries, lineKey(context, line, context.project)), {
      ...decided,
      answer: memory.key,
      until: trust.until ?? null,
    });
  return run;
}

// With these, a line asks for more than its program.
const isPlain = ({ refresh, trace, verbose }: RunFlags): boolean => !refresh && trace === undefined && !verbose;

// The variables and files that decided which run is meant; undefined if a change of them might not show.
function decidedBy(
  watched: WatchedVariables,
  paths: readonly string[],
  { clock }: Context,
): Pick<RememberedAnswer, "files" | "variables"> | undefined {
  const variables = watched.seen();
  const files = stampFiles(paths, clock.now());
  return variables === undefined || files === undefined ? undefined : { files, variables };
}

// Words that may be files: what they mean depends on what is there.
const pathsAmong = (words: readonly string[], cwd: string): string[] =>
  words.filter((word) => /^\/|\.(?:json|ya?ml)$/.test(word)).map((word) => resolve(cwd, word));

async function contentOf(file: string): Promise<string | null> {
  try {
    return digestOf((await readBounded(file, SPEC_FILE_LIMIT)).bytes);
  } catch (error) {
    // What reads the spec reports it.
    if (error instanceof StaveError) return null;
    throw error;
  }
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
    version: 5,
    words,
    specFiles: await Promise.all(words.filter(isSpecFile).map((file) => contentOf(resolve(cwd, file)))),
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
