// `stave check`: finds specs that a cache lacks, and damaged images in it.
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { knownSpecs } from "../../api/from-spack/spack-specs.ts";
import { onlySpecs } from "../../api/places/cache-choice.ts";
import { formatCache } from "../../api/places/mirror-location.ts";
import { fileError, StaveError } from "../../errors.ts";
import { type CheckReport, checkAll, type MissingSpec } from "../../ops/cache/check.ts";
import { printable } from "../../printable/printable.ts";
import { writeJson } from "../../spack/text/json.ts";
import { CACHE_ARGUMENT, type OpenedCache, readCaches } from "../arguments/cache-location.ts";
import { addTransport, addTrust, type CommonFlags, collect, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirrorUrl?: string;
  outputFile?: string;
  deep?: boolean;
  bytes?: boolean;
  all?: boolean;
  rebuildOnError?: boolean;
  spec?: string[];
  specFile?: string[];
  specYaml?: string[];
}

const HELP = `
Without SPEC, checks every spec of the environment (-e DIR, or $SPACK_ENV), dependencies included. Of several mirrors, a spec is
missing if none of them has it. Externals are skipped: caches
never contain them. With --all, checks every image of the cache. Exits with status 1 if a spec must be built or an image is broken.
CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave check -e . -m oci://ghcr.io/org/cache
  stave check hdf5 /abc1234 -m my-mirror -o rebuild.json
  stave check --all --deep -m oci-layout:./stave-cache`;

/** The command `stave check`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("check", "report missing specs and broken images of a build cache")
    .argument("[specs...]", "specs to check: queries that match one spec each, /hash or spec files")
    .option("-m, --mirror-url <cache>", "the cache to check")
    .option("-o, --output-file <file>", "write the specs to build to this file, in Spack's format")
    .option("--all", "check every spec of the cache")
    .option("--deep", "also check that every blob of every image exists")
    .option("--bytes", "also download every blob and check its digest")
    .addOption(new Option("--rebuild-on-error", "refused: a failed request is an error").hideHelp())
    .addOption(new Option("-s, --spec <spec>", "the same as SPEC").argParser(collect).hideHelp())
    .addOption(new Option("--spec-yaml <file>", "the same as SPEC").argParser(collect).hideHelp())
    .addOption(new Option("-y, --spec-file <file>", "the same as SPEC").argParser(collect).hideHelp());
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, given) => {
    const texts = [
      ...onlySpecs(given, context.cwd),
      ...(flags.spec ?? []),
      ...(flags.specFile ?? []),
      ...(flags.specYaml ?? []),
    ];
    if (flags.all && texts.length > 0)
      throw new StaveError("USAGE", "--all and SPEC exclude each other", { hint: "leave one of them out" });
    if (flags.rebuildOnError)
      throw new StaveError("UNSUPPORTED", "a cache that cannot be asked is an error, not a reason to rebuild", {
        hint: "leave out --rebuild-on-error, and repeat the command when the cache can be reached",
      });
    const files = new SpackFiles(context, flags);
    const specs = flags.all ? undefined : await knownSpecs(files, texts);
    const named = flags.mirrorUrl === undefined ? [] : [flags.mirrorUrl];
    await using opened = await readCaches(named, { context, output, flags, files });
    const onProgress = flags.verbose ? output.progress : undefined;
    const least = flags.deep ? "deep" : "tags";
    const depth = flags.bytes ? "bytes" : least;
    const report = await checkAll(opened.caches, { specs, depth, onProgress, signal: context.signal });
    if (flags.outputFile !== undefined) {
      const path = resolve(context.cwd, flags.outputFile);
      await writeRebuilds(report.missing, path, opened.all);
    }
    for (const line of render(report, output)) output.print(line);
    output.report(report);
    return report.missing.length + report.broken.length > 0 ? 1 : 0;
  });
};

/**
 * Writes the report of Spack's `buildcache check -o`, with the separators that Python's json module uses by default.
 */
async function writeRebuilds(
  missing: readonly MissingSpec[],
  path: string,
  caches: readonly Pick<OpenedCache<unknown>, "location" | "mirror">[],
): Promise<void> {
  const text = (value: string): string => writeJson(value);
  const specs = missing.map(({ shortSpec, hash }) => `{"short_spec": ${text(shortSpec)}, "hash": ${text(hash)}}`);
  const entries = caches.map(({ location, mirror }) => {
    const url = text(formatCache(location));
    // Spack gives this name to a mirror whose URL is given on the command line.
    const name = text(mirror?.name ?? "additionalMirrorUrl");
    return `${url}: {"mirrorName": ${name}, "mirrorUrl": ${url}, "rebuildSpecs": [${specs.join(", ")}]}`;
  });
  try {
    await writeFile(path, `{${missing.length === 0 ? "" : entries.join(", ")}}`);
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
}

function* render(
  { cache, checked, externals, missing, broken, blobs, bytes }: CheckReport,
  output: Output,
): Iterable<string> {
  for (const { name, version, hash } of missing)
    yield `${output.style("yellow", "missing")} ${printable(`${name}@${version}/${hash.slice(0, 7)}`)}`;
  for (const { tag, reason } of broken)
    yield `${output.style("red", "broken")}  ${printable(tag)}: ${printable(reason)}`;
  const looked = blobs > 0 ? `, ${count(blobs, "layer")} of ${formatBytes(bytes)}` : "";
  const left = checked === 0 && externals > 0 ? `, ${count(externals, "external")} left out` : "";
  const wrong = broken.length > 0 ? `, ${broken.length} broken` : "";
  yield `${checked - missing.length} of ${count(checked, "spec")} in ${printable(cache)}${wrong}${looked}${left}`;
}
