// `stave download`: downloads the archive and the spec file of one spec from a cache.
import { resolve } from "node:path";
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { askedSpec } from "../../api/from-spack/spack-specs.ts";
import { onlySpecs } from "../../api/places/cache-choice.ts";
import { type ErrorCode, StaveError } from "../../errors.ts";
import { askInOrder, throwUnasked } from "../../ops/cache/ask-in-order.ts";
import { download } from "../../ops/cache/download.ts";
import { findCached } from "../../ops/cache/find-cached.ts";
import { printable } from "../../printable/printable.ts";
import { CACHE_ARGUMENT, readCaches } from "../arguments/cache-location.ts";
import {
  addDryRun,
  addTransport,
  addTrust,
  type CommonFlags,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { addKeys, type SignerFlags, signersOf } from "../arguments/signer-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { formatBytes } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, SignerFlags {
  mirror?: string;
  path: string;
  dryRun?: boolean;
  spec?: string;
  specFile?: string;
  specYaml?: string;
  requireCdashid?: boolean;
}

const HELP = `
Writes NAME-VERSION-HASH.spack, a compressed tar archive, and NAME-VERSION-HASH.spec.json to the folder, after checking their
digests. SPEC is looked up in the index of the cache; a /hash needs only the tags. Exits with status 1 if the cache does not have
the spec. -c sets a configuration value, as for every verb; Spack's former -c, --require-cdashid, has no meaning here. CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave download hdf5@1.14 -p ./binaries -m oci://ghcr.io/org/cache
  stave download /abc1234 -p . -m my-mirror
  stave download ./hdf5.spec.json -p .`;

/** The command `stave download`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("download", "download the archive and spec file of a spec")
    .argument("[spec...]", "a query that matches one spec of the cache, /hash or a spec file")
    .requiredOption("-p, --path <dir>", "the folder to write to")
    .option("-m, --mirror <cache>", "the cache to download from")
    .addOption(new Option("--require-cdashid", "no effect: no cache has such files today").hideHelp())
    .addOption(new Option("-s, --spec <spec>", "the same as SPEC").hideHelp())
    .addOption(new Option("--spec-yaml <file>", "the same as SPEC").hideHelp())
    .addOption(new Option("-y, --spec-file <file>", "the same as SPEC").hideHelp());
  addSpack(addTransport(addKeys(addTrust(addDryRun(command))))).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, given) => {
    const [word] = (flags.config ?? []).filter((setting) => !setting.includes(":"));
    if (word !== undefined)
      throw new StaveError("USAGE", `-c ${word} is not a setting, section:key:value`, {
        hint: "leave -c out: what Spack called --require-cdashid is not needed",
      });
    if (flags.requireCdashid) output.warn("--require-cdashid has no effect: no cache has such files today");
    const words = [
      ...onlySpecs(given, context.cwd),
      ...[flags.spec, flags.specFile, flags.specYaml].filter((word) => word !== undefined),
    ];
    const files = new SpackFiles(context, flags);
    const { query, text } = await askedSpec(files, words);
    const named = flags.mirror === undefined ? [] : [flags.mirror];
    const trusted = { ...flags, signedBy: signersOf(flags) };
    await using opened = await readCaches(named, { context, output, flags: trusted, files });
    const { caches } = opened;
    const folder = resolve(context.cwd, flags.path);
    const { signal } = context;
    const { answer: report, failures } = await askInOrder(
      caches,
      async (cache) => {
        const found = await findCached(cache, query, { signal });
        const [spec] = found;
        if (found.length > 1)
          throw several(
            text,
            found.map(({ tag }) => tag),
          );
        return spec === undefined
          ? undefined
          : await download(cache, spec, folder, { onProgress: output.progress, dryRun: flags.dryRun, signal });
      },
      // Another cache does not help against errors of this machine.
      ({ code }) => ENDS.has(code),
    );
    if (report === undefined) {
      throwUnasked(failures, caches.length);
      output.note(
        `${caches.map(({ name }) => name).join(", ")} ${caches.length > 1 ? "have" : "has"} no ${printable(text)}`,
      );
      output.report(null);
      return 1;
    }
    for (const { message } of failures) output.warn(message);
    if (caches.length > 1) output.note(`from ${report.cache}`);
    if (flags.dryRun) output.note(`would write these files, ${formatBytes(report.size)} to download`);
    output.print(report.archive);
    output.print(report.specFile);
    output.report(report);
    return 0;
  });
};

const ENDS: ReadonlySet<ErrorCode> = new Set(["ABORTED", "FILE_SYSTEM", "INTERNAL"]);

function several(text: string, tags: readonly string[]): StaveError {
  return new StaveError("USAGE", `${text} matches ${tags.length} specs: ${tags.slice(0, 10).join(", ")}`, {
    hint: "name one by its hash",
  });
}
