// `stave index`: updates the index of a build cache, or checks whether it is current.

import { Option } from "commander";
import type { SpackFlags } from "../../api/spack-files.ts";
import { hasArchives, type ReadCache } from "../../cache/cache.ts";
import { checkIndex, type IndexReport, updateIndex } from "../../cache/index-update.ts";
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
  keys?: boolean;
  dryRun?: boolean;
}

const HELP = `
The index lists every spec of a cache, so that Spack and stave need not fetch each one. An update reads only new specs. Any number
of updates may run at once. Tags that are not specs are reported and skipped. With --check, nothing is written and the exit
status is 1 if the index is out of date.

Examples:
  stave index oci://ghcr.io/org/cache
  stave index oci-layout:./stave-cache --full
  stave index --check my-mirror`;

/** The command `stave index`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("index", "update the index of a build cache")
    .argument("[cache]", CACHE_ARGUMENT)
    .option("--full", "ignore the present index and read every spec again")
    .addOption(new Option("-d, --directory <cache>", "the cache").hideHelp())
    .addOption(new Option("-m, --mirror <cache>", "the cache, like the argument").hideHelp())
    .addOption(new Option("-k, --keys", "also update the list of the public keys of a mirror"))
    .option("--check", "only compare; exit with status 1 if the index is out of date");
  addSpack(addTransport(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined], Flags>(command, state, async (context, output, flags, text) => {
    const run = { context, output, flags };
    const report = await compareOrUpdate(flags.directory ?? oneCache(text, flags.mirror), run);
    for (const line of render(report, output)) output.print(line);
    for (const { tag, reason } of report.skipped) output.warn(`skipped ${printable(tag)}: ${printable(reason)}`);
    tellOthers(report.others, output);
    if (!report.isWritten && !report.isCurrent)
      output.note(`update it with \`${output.command(`stave index ${report.cache}`)}\``);
    output.report(report);
    return flags.check && !report.isCurrent ? 1 : 0;
  });
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

async function compareOrUpdate(text: string | undefined, run: CacheRun & { flags: Flags }): Promise<IndexReport> {
  const { flags, context, output } = run;
  const options = { full: flags.full, signal: context.signal, onProgress: output.progress };
  if (flags.check || flags.dryRun) {
    await using opened = await readPushCache(text, run);
    if (flags.keys) warnOfKeys(opened.cache, output);
    return await checkIndex(opened.cache, options);
  }
  await using opened = await writeCache(text, run, { create: false, mayUseMirror: true });
  const { cache } = opened;
  const report = await updateIndex(cache, options);
  if (report.isWritten) await remindToSign(opened.location, NEW_INDEX, { context, output, flags: {} });
  if (flags.keys) warnOfKeys(cache, output);
  if (flags.keys && hasArchives(cache)) {
    const keys = await cache.indexKeys({ signal: context.signal });
    output.note(keys.length === 0 ? "the mirror has no public keys" : `listed ${count(keys.length, "public key")}`);
  }
  return report;
}

function warnOfKeys({ can }: ReadCache, output: Output): void {
  if (!can.sign) output.warn("--keys has no effect: a cache of images has no list of keys");
}

function* render(report: IndexReport, output: Output): Iterable<string> {
  const { added, dropped, problems, unreadable, specs, records, size, isWritten, isCurrent } = report;
  if (unreadable !== undefined) yield `could not use the old index: ${printable(unreadable)}`;
  for (const { hash, reason } of problems) yield `left out of the old index: ${printable(hash)}: ${printable(reason)}`;
  const [more, less] = isWritten ? ["+", "-"] : ["not in the index:", "no longer in the cache:"];
  for (const tag of added) yield `${output.style("green", more)} ${printable(tag)}`;
  for (const tag of dropped) yield `${output.style("red", less)} ${printable(tag)}`;
  const found = isCurrent ? "up to date" : "not up to date";
  const state = isWritten ? "written" : found;
  const text = size === undefined ? "" : `, ${formatBytes(size)}`;
  yield `${state}: ${count(specs, "spec")}, ${count(records, "record")}${text}`;
}
