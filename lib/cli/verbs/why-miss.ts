// `stave why-miss`: why an installation of a spec would not come from a cache.
import { StaveError } from "../../errors.ts";
import { describeDifference, type WhyMissReport, whyMiss } from "../../ops/why-miss.ts";
import { CACHE_ARGUMENT, readCache } from "../cache-location.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../options.ts";
import type { Output } from "../output.ts";
import { addSpack, SpackFiles, type SpackFlags } from "../spack-options.ts";
import { knownSpecs } from "../spack-specs.ts";
import { count, printable } from "../text.ts";
import { bindAction, type VerbFactory } from "../verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirror?: string;
}

const HELP = `
SPEC is concrete: it is looked up in the environment (-e DIR, or $SPACK_ENV), else in the store, or is a spec file. The status is
1 when the cache would not be used. CACHE is
${CACHE_ARGUMENT}.

Examples:
  stave why-miss hdf5 -e . -m oci://ghcr.io/org/cache
  stave why-miss ./hdf5.spec.json -m my-mirror`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("why-miss", "tell why a spec would not be installed from a build cache")
    .argument("<spec>", "one concrete spec: a query, /hash or a spec file")
    .option("-m, --mirror <cache>", "the cache");
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const [wanted, ...more] = await knownSpecs(context, new SpackFiles(context, flags), [text]);
    if (wanted === undefined || more.length > 0)
      throw new StaveError("USAGE", `${JSON.stringify(text)} is ${more.length + 1} specs, expected one`, {
        hint: "quote one spec as one argument",
      });
    await using opened = await readCache(flags.mirror, { context, output, flags });
    const report = await whyMiss(opened.cache, wanted, { signal: context.signal });
    for (const line of render(report, output)) output.print(line);
    output.report(report);
    return report.reason === "none" ? 0 : 1;
  });
};

const SHOWN = 8;

function* render(report: WhyMissReport, output: Output): Iterable<string> {
  const { name, version, hash, reason, explanation, near } = report;
  const subject = printable(`${name}@${version}/${hash.slice(0, 7)}`);
  yield `${output.style(reason === "none" ? "green" : "yellow", reason)}: ${subject}: ${printable(explanation)}`;
  for (const other of near) {
    const where = other.architecture === undefined ? "" : ` ${other.architecture}`;
    yield `there is ${printable(`${other.name}@${other.version}/${other.hash.slice(0, 7)}${where}`)}`;
    for (const difference of other.differences.slice(0, SHOWN)) yield `  ${printable(describeDifference(difference))}`;
    const rest = other.differences.length - SHOWN;
    if (rest > 0) yield `  and ${count(rest, "more difference")}`;
  }
}
