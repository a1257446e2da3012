// `stave why-miss`: explains why a spec would not be installed from a cache.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { knownSpec } from "../../api/from-spack/spack-specs.ts";
import { findProgram } from "../../api/machine/programs.ts";
import { onlySpecs } from "../../api/places/cache-choice.ts";
import { describeDifference, type WhyMissOptions, type WhyMissReport, whyMissAll } from "../../ops/cache/why-miss.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { count } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirror?: string;
  from?: string;
  into?: string;
  archive: boolean;
}

const HELP = `
SPEC is concrete: a spec file, or a query that is looked up in the store of --from, else in the environment (-e DIR, or $SPACK_ENV),
else in the configured store. If the cache has SPEC and the store to install into is known (--into, else --store or Spack's
configuration), the archive is read too: only its binaries show whether the new prefixes fit. Signatures are never the reason:
images of OCI caches have none, even if signed: is set for a mirror, and neither Spack nor stave requires them. Exits with status 1
if the cache would not be used. CACHE is
${CACHE_ARGUMENT}.

Examples:
  stave why-miss hdf5 -e . -m oci://ghcr.io/org/cache
  stave why-miss hdf5 -e . -m oci://ghcr.io/org/cache --into /home/me/a/much/longer/root
  stave why-miss hdf5 --from /opt/software -m my-mirror --into /home/me/software
  stave why-miss ./hdf5.spec.json -m my-mirror`;

/** The command `stave why-miss`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("why-miss", "explain why a spec would not be installed from a cache")
    .argument("<spec...>", "one concrete spec: a query, /hash or a spec file")
    .option("-m, --mirror <cache>", "the cache to look in")
    .option("--from <store>", "the store to look up SPEC in")
    .option("--into <dir>", "the store that SPEC would be installed into")
    .option("--no-archive", "do not read the archive, so do not check whether its files can be relocated");
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, words) => {
    const files = new SpackFiles(context, flags);
    const wanted = await knownSpec(
      flags.from === undefined ? files : new SpackFiles(context, { ...flags, store: flags.from, env: false }),
      onlySpecs(words, context.cwd),
    );
    const named = flags.mirror === undefined ? [] : [flags.mirror];
    await using opened = await readCaches(named, { context, output, flags, files });
    const install = flags.archive ? await placeToInstall(flags, files, context, output.progress) : undefined;
    const report = await whyMissAll(opened.caches, wanted, { install, signal: context.signal });
    for (const each of [report, ...(report.others ?? [])]) {
      if (opened.caches.length > 1) output.print(output.style("bold", `${each.cache}:`));
      for (const line of render(each, output)) output.print(line);
    }
    output.report(report);
    return report.reason === "none" ? 0 : 1;
  });
};

async function placeToInstall(
  flags: Flags,
  known: SpackFiles,
  context: Context,
  onProgress: ProgressSink,
): Promise<WhyMissOptions["install"]> {
  const files = flags.into === undefined ? known : new SpackFiles(context, { ...flags, store: flags.into });
  if (files.discovery.store === undefined) return undefined;
  const store = await files.store({ mayBeEmpty: true });
  const at = { root: store.root, prefixOf: (node: SpecNode) => store.prefixOf(node) };
  return { at, scratch: context.env["TMPDIR"] || "/tmp", patchelf: findProgram("patchelf", context), onProgress };
}

const SHOWN = 8;

function* render(report: WhyMissReport, output: Output): Iterable<string> {
  const { name, version, hash, reason, explanation, near } = report;
  const subject = printable(`${name}@${version}/${hash.slice(0, 7)}`);
  const said = reason === "none" ? "nothing is in the way" : reason;
  yield `${output.style(reason === "none" ? "green" : "yellow", said)}: ${subject}: ${printable(explanation)}`;
  if (reason === "not in the index") yield `run \`${output.command(`stave index ${printable(report.cache)}`)}\``;
  for (const other of near) {
    const where = other.architecture === undefined ? "" : ` ${other.architecture}`;
    yield `there is ${printable(`${other.name}@${other.version}/${other.hash.slice(0, 7)}${where}`)}`;
    for (const difference of other.differences.slice(0, SHOWN)) yield `  ${printable(describeDifference(difference))}`;
    const rest = other.differences.length - SHOWN;
    if (rest > 0) yield `  and ${count(rest, "more difference")}`;
  }
}
