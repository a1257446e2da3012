// `stave download`: the archive and the spec file of one spec, out of a cache.
import { resolve } from "node:path";
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/spack-files.ts";
import { askedSpec } from "../../api/spack-specs.ts";
import { StaveError } from "../../errors.ts";
import { download } from "../../ops/cache/download.ts";
import { findCached } from "../../ops/cache/find-cached.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, readCache } from "../arguments/cache-location.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  mirror?: string;
  path: string;
  spec?: string;
  specFile?: string;
}

const HELP = `
Writes NAME-VERSION-HASH.spack, a compressed tar archive, and NAME-VERSION-HASH.spec.json to the folder, after checking their
digests. SPEC is looked up in the index of the cache; a /hash needs only the tags. Exits with status 1 if the cache does not have
the spec. CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave download hdf5@1.14 -p ./binaries -m oci://ghcr.io/org/cache
  stave download /abc1234 -p . -m my-mirror
  stave download ./hdf5.spec.json -p .`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("download", "download the archive and spec file of a spec")
    .argument("[spec...]", "a query that matches one spec of the cache, /hash or a spec file")
    .requiredOption("-p, --path <dir>", "the folder to write to")
    .option("-m, --mirror <cache>", "the cache to download from")
    .addOption(new Option("-s, --spec <spec>", "the same as SPEC").hideHelp())
    .addOption(new Option("-y, --spec-file <file>", "the same as SPEC").hideHelp());
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, given) => {
    const words = [...given, ...[flags.spec, flags.specFile].filter((word) => word !== undefined)];
    const files = new SpackFiles(context, flags);
    const { query, text } = await askedSpec(files, words);
    await using opened = await readCache(flags.mirror, { context, output, flags, files });
    const { signal } = context;
    const [tag, ...others] = await findCached(opened.cache, query, { signal });
    if (tag === undefined) {
      output.note(`${opened.cache.name} has no ${printable(text)}`);
      output.report(null);
      return 1;
    }
    if (others.length > 0)
      throw new StaveError(
        "USAGE",
        `${text} is ${others.length + 1} specs: ${[tag, ...others].slice(0, 10).join(", ")}`,
        {
          hint: "name one by its hash",
        },
      );
    const folder = resolve(context.cwd, flags.path);
    const report = await download(opened.cache, tag, folder, { onProgress: output.progress, signal });
    output.print(report.archive);
    output.print(report.specFile);
    output.report(report);
    return 0;
  });
};
