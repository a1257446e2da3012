// `stave web`: writes a catalogue of a build cache as pages for a web server.
import { resolve } from "node:path";
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { cacheAddress } from "../../api/places/cache-address.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { type WebReport, writeCatalogue } from "../../ops/cache/web.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, oneCache, readCache } from "../arguments/cache-location.ts";
import {
  addDryRun,
  addTransport,
  addTrust,
  type CommonFlags,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count, formatBytes } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, TrustOptions {
  output: string;
  mirror?: string;
  address?: string;
  images?: boolean;
  dryRun?: boolean;
}

const HELP = `
Writes pages to search and browse the specs of a build cache: versions, variants, dependencies as a graph, dependents, and how to get
each spec. They are static files: any web server can serve them, from any path, and they load nothing from elsewhere. A second run
replaces the pages; readers see the old or the new catalogue. To browse the cache of a server of stave, use stave serve --web.

Only the index is read, so that sizes, layers, signatures and SBOMs are left out; --images reads them, with one or two requests for
each spec. CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave web oci://ghcr.io/org/cache -o ./public
  stave web ./stave-cache -o ./public --images --address oci://ghcr.io/org/cache
  stave web my-mirror -o ./public --dry-run`;

/** The command `stave web`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("web", "write the pages of a catalogue of a build cache")
    .argument("[cache]", "the cache")
    .requiredOption("-o, --output <dir>", "the folder to write to: a new one, an empty one, or that of a catalogue")
    .option("-m, --mirror <cache>", "the cache, like the argument")
    .option("--address <cache>", "the address of the cache that the pages tell their readers (default: CACHE)")
    .option("--images", "also show sizes, layers, signatures and SBOMs");
  addSpack(addTransport(addTrust(addDryRun(command)))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined], Flags>(command, state, async (context, output, flags, argument) => {
    const { signal, cwd, clock } = context;
    const { images: readsImages, dryRun: isDryRun } = flags;
    await using opened = await readCache(oneCache(argument, flags.mirror), { context, output, flags });
    const { cache, location } = opened;
    const address = cacheAddress(flags.address, location, cwd);
    const options = { directory: resolve(cwd, flags.output), address, readsImages, isDryRun };
    const report = await writeCatalogue(cache, { ...options, progress: output.progress, signal, clock });
    if (report.damaged > 0)
      output.warn(`${count(report.damaged, "record")} of the index of ${cache.name} cannot be used and are left out`);
    output.print(described(report, flags.output));
    if (!isDryRun) output.note(`look at it with: python3 -m http.server -d ${printable(flags.output)}`);
    output.report(report);
    return 0;
  });
};

function described({ packages, specs, files, bytes, isDryRun }: WebReport, directory: string): string {
  const what = `${count(specs, "spec")} of ${count(packages, "package")}`;
  const size = `${count(files, "file")}, ${formatBytes(bytes)}`;
  return `${isDryRun ? "would write " : ""}${what} ${isDryRun ? "to" : "in"} ${printable(directory)} (${size})`;
}
