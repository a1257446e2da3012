// `stave index`: updates the index of a build cache, or checks whether it is current.

import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { hasArchives, type ReadCache } from "../../cache/cache.ts";
import { checkIndex, type IndexReport, updateIndex } from "../../cache/index-update.ts";
import { MirrorCache } from "../../cache/mirror/mirror-cache.ts";
import { parseSpecTag } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, type CacheRun, oneCache, readPushCache, writeCache } from "../arguments/cache-location.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { NEW_INDEX, remindToSign } from "../arguments/sign-reminder.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  full?: boolean;
  check?: boolean;
  directory?: string;
  mirror?: string;
  mirrorUrl?: string;
  keys?: boolean;
  name?: string;
  append?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

const HELP = `
The index lists every spec of a cache, so that Spack and stave need not fetch each one. An update reads only new specs. Any number
of updates may run at once. Tags that are not specs are reported and skipped. With --check, nothing is written and the exit
status is 1 if the index is out of date.

Examples:
  stave index oci://ghcr.io/org/cache
  stave index oci-layout:./stave-cache --full
  stave index file:///srv/mirror -n release -e .
  stave index --check my-mirror`;

/** The command `stave index`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("index", "update the index of a build cache")
    .argument("[cache]", CACHE_ARGUMENT)
    .argument("[environments...]", "with --name, the environments: folders, or names in Spack")
    .option("--full", "ignore the present index and read every spec again")
    .addOption(new Option("-d, --directory <cache>", "the cache").hideHelp())
    .addOption(new Option("--mirror-url <cache>", "the cache").hideHelp())
    .addOption(new Option("-m, --mirror <cache>", "the cache, like the argument").hideHelp())
    .addOption(new Option("-k, --keys", "also update the list of the public keys of a mirror"))
    .option("-n, --name <view>", "write this view of a mirror's index: only the specs of environments (ENV, or -e)")
    .option("-a, --append", "with --name, keep what the view has")
    .option("-f, --force", "with --name, replace the view")
    .addOption(new Option("-y, --yes-to-all", "no effect: nothing is asked").hideHelp())
    .option("--check", "only compare; exit with status 1 if the index is out of date");
  addSpack(addTransport(addDryRun(command, "--dry-run"))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(
    command,
    state,
    async (context, output, flags, text, envs) => {
      const { name } = flags;
      if (name === undefined && envs.length > 0)
        throw new StaveError("USAGE", `an index has every spec of its cache, not only ${printable(envs[0] ?? "")}'s`, {
          hint: "to index only the specs of an environment, name a view with --name VIEW",
        });
      if (name === undefined && (flags.append || flags.force))
        throw new StaveError("USAGE", "--append and --force are for views", {
          hint: "name one with --name; --full reads every spec again",
        });
      if (name !== undefined && !/^[\w][\w.-]{0,127}$/.test(name))
        throw new StaveError("USAGE", `${printable(name)} is not a name of a view`, { hint: "use letters and digits" });
      const files = new SpackFiles(context, flags);
      const run = { context, output, flags, files, ...(name !== undefined && { view: name }) };
      const environments = envs.map((env) => new SpackFiles(context, { ...flags, env }));
      const report = await compareOrUpdate(
        flags.directory ?? oneCache(text, flags.mirror ?? flags.mirrorUrl),
        run,
        environments,
      );
      for (const line of render(report, output)) output.print(line);
      for (const { tag, reason } of report.skipped) output.warn(`skipped ${printable(tag)}: ${printable(reason)}`);
      tellOthers(report.others, output);
      if (!report.isWritten && !report.isCurrent)
        output.note(`update it with \`${output.command(`stave index ${report.cache}`)}\``);
      output.report(report);
      return flags.check && !report.isCurrent ? 1 : 0;
    },
  );
};

/** How many tags that are not specs are named without --verbose. */
const NAMED = 5;

function tellOthers(others: readonly string[], output: Output): void {
  if (others.length === 0) return;
  const named = output.options.verbose ? others : others.slice(0, NAMED);
  const more = others.length > named.length ? `, and ${others.length - named.length} more (-v names all)` : "";
  output.note(
    `skipped ${count(others.length, "tag")} without a spec: ${named.map((tag) => printable(tag)).join(", ")}${more}`,
  );
}

async function compareOrUpdate(
  text: string | undefined,
  run: CacheRun & { readonly flags: Flags; readonly files: SpackFiles },
  environments: readonly SpackFiles[],
): Promise<IndexReport> {
  const { flags, context, output, files } = run;
  const view =
    flags.name === undefined ? undefined : await hashesOfView(environments.length > 0 ? environments : [files]);
  const without = view && { has: (tag: string) => !view.has(parseSpecTag(tag)?.hash ?? "") };
  const options = { full: flags.full, without, signal: context.signal, onProgress: output.progress };
  if (flags.check || flags.dryRun) {
    await using opened = await readPushCache(text, run);
    if (flags.keys) warnOfKeys(opened.cache, output);
    if (view) await addPresent(opened.cache, view, flags, context.signal);
    return await checkIndex(opened.cache, options);
  }
  await using opened = await writeCache(text, run, { create: false, mayUseMirror: true });
  const { cache } = opened;
  if (view) await addPresent(cache, view, flags, context.signal);
  const report = await updateIndex(cache, options);
  if (report.isWritten) await remindToSign(opened.location, NEW_INDEX, { context, output, flags: {} });
  if (flags.keys) warnOfKeys(cache, output);
  if (flags.keys && hasArchives(cache)) {
    const keys = await cache.indexKeys({ signal: context.signal });
    output.note(keys.length === 0 ? "the mirror has no public keys" : `listed ${count(keys.length, "public key")}`);
  }
  return report;
}

async function hashesOfView(environments: readonly SpackFiles[]): Promise<Set<string>> {
  const hashes = new Set<string>();
  for (const files of environments) {
    const lock = await files.lock();
    if (lock === undefined)
      throw new StaveError("USAGE", "a view has the specs of an environment, and none is named", {
        hint: "name one with -e DIR",
      });
    for (const { hash } of lock.graph.nodes()) hashes.add(hash);
  }
  return hashes;
}

// As in Spack, a view that is there is kept unless a flag says what to do with it.
async function addPresent(
  cache: ReadCache,
  wanted: Set<string>,
  { name = "", append, force }: Flags,
  signal: AbortSignal,
): Promise<void> {
  if (!(cache instanceof MirrorCache))
    throw new StaveError("UNSUPPORTED", `${cache.name} has no views of its index`, {
      subject: cache.name,
      hint: "views belong to mirrors, for example file:///DIR",
    });
  const present = force ? undefined : await cache.readIndex({ signal });
  if (present === undefined) return;
  if (!append)
    throw new StaveError("CONFLICT", `${cache.name} has a view ${printable(name)} already`, {
      subject: name,
      hint: "add to it with --append, or replace it with --force",
    });
  for (const { hash, inBuildcache } of present.records.values()) if (inBuildcache) wanted.add(hash);
}

function warnOfKeys({ can }: ReadCache, output: Output): void {
  if (!can.sign) output.warn("--keys has no effect: a cache of images has no list of keys");
}

/** How many tags that are added or dropped are listed without --verbose. */
const LISTED = 20;

function* listed(tags: readonly string[], label: string, { options }: Output): Iterable<string> {
  const shown = options.verbose ? tags : tags.slice(0, LISTED);
  for (const tag of shown) yield `${label} ${printable(tag)}`;
  const rest = tags.length - shown.length;
  if (rest > 0) yield `${label} ... and ${rest} more (-v names all)`;
}

function* render(report: IndexReport, output: Output): Iterable<string> {
  const { added, dropped, problems, unreadable, specs, records, size, isWritten, isCurrent } = report;
  if (unreadable !== undefined) yield `could not use the old index: ${printable(unreadable)}`;
  for (const { hash, reason } of problems) yield `left out of the old index: ${printable(hash)}: ${printable(reason)}`;
  const [more, less] = isWritten ? ["+", "-"] : ["not in the index:", "no longer in the cache:"];
  yield* listed(added, output.style("green", more), output);
  yield* listed(dropped, output.style("red", less), output);
  const found = isCurrent ? "up to date" : "not up to date";
  const state = isWritten ? "written" : found;
  const text = size === undefined ? "" : `, ${formatBytes(size)}`;
  yield `${state}: ${count(specs, "spec")}, ${count(records, "record")}${text}`;
}
