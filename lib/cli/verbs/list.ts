// `stave list`: lists the specs of a build cache, in the format of Spack's `buildcache list`.

import { resolve } from "node:path";
import { Option } from "commander";
import { installHost } from "../../api/from-spack/install-host.ts";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { memoryFor, onlySpecs, splitCache } from "../../api/places/cache-choice.ts";
import type { SignatureMark } from "../../api/signers/check-place.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { hasImages, type ReadCache } from "../../cache/cache.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { imageName } from "../../oci/reference.ts";
import { type ListAllReport, type ListedSpec, listAll } from "../../ops/cache/list.ts";
import { nearMisses } from "../../ops/cache/near-misses.ts";
import { printQuery } from "../../spack/query/query.ts";
import { formatSpec } from "../../spack/spec/spec-format.ts";
import { isLayoutFolder } from "../../target/layout/layout-folder.ts";
import { CACHE_ARGUMENT, type OpenedCache, readCaches } from "../arguments/cache-location.ts";
import { addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { folderHint } from "../output/folder-word.ts";
import { count } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import {
  addList,
  formatOf,
  type ListFlags,
  type MarkedRow,
  type RootFlags,
  specGroups,
  wantedRoots,
} from "../output/spec-groups.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, ListFlags, RootFlags, TrustOptions {
  allarch?: boolean;
  tags?: boolean;
  signatures?: boolean;
  mirror?: string;
}

const HELP = `
SPEC has Spack's syntax: name@1.2: +variant %gcc@12 ^dependency /hash. Without SPEC, lists everything. Lists only what this
machine can run, and so what \`stave install\` would take; -a lists all. Exits with status 1 if nothing was found. CACHE is ${CACHE_ARGUMENT}.

Examples:
  stave list oci://ghcr.io/org/cache
  stave list oci://ghcr.io/org/cache -a -lv hdf5 ^mpi
  stave list oci://ghcr.io/org/cache -x -p
  stave list oci://ghcr.io/org/cache --signatures
  stave list my-mirror --tags hdf5@1.14:                 without the index: names, versions and hashes`;

/** The command `stave list`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("list", "list the specs of a build cache", "--verbose")
    .argument("[cache]", "the cache to list")
    .argument("[specs...]", "the specs to look for")
    .option("-a, --allarch", "list specs for any machine, not only for this one")
    .option("-m, --mirror <cache>", "the cache to list, like the argument")
    .option("--tags", "read the tags instead of the index")
    .option("--signatures", "mark each spec with its signer, or with what the trust policy misses")
    .addOption(new Option("--arch", "no effect: only specs for this machine are listed, unless -a is given").hideHelp())
    .addOption(new Option("-f, --force", "no effect: the index is always read").hideHelp());
  addList(command, {
    paths: "show where each spec is: its image, or its name in a mirror",
    explicit: "only specs that no other spec of the cache depends on",
    implicit: "only specs that others of the cache depend on",
  });
  addSpack(addTransport(addTrust(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string[]], Flags>(
    command,
    state,
    async (context, output, flags, first, more) => {
      const format = formatOf(flags);
      const roots = wantedRoots(flags);
      if (roots !== undefined && flags.tags)
        throw new StaveError("USAGE", "tags do not tell which specs depend on others", { hint: "leave out --tags" });
      const files = new SpackFiles(context, flags);
      const args = first === undefined ? [] : [first, ...more];
      const { cache: text, specs } =
        flags.mirror === undefined
          ? splitCache(args, files.discovery.mirrors, context.cwd)
          : { cache: flags.mirror, specs: onlySpecs(args, context.cwd) };
      const queries = await files.queries(specs);
      await using opened = await readCaches(text === undefined ? [] : [text], { context, output, flags, files, specs });
      const unmatched = new Set(queries);
      const report = await listAll(opened.caches, {
        queries,
        host: flags.allarch ? undefined : installHost(files),
        fromTags: flags.tags,
        roots,
        unmatched,
        format: format === undefined ? undefined : (node) => formatSpec(node, format),
        signal: context.signal,
      });
      for (const query of unmatched) refuseLayout(printQuery(query), context.cwd);
      const marks = flags.signatures ? await marksOf(report, opened.all, { context, output, flags }) : undefined;
      const marked = marks && {
        ...report,
        specs: report.specs.map((row) => ({ ...row, signature: marks.get(row.hash) })),
      };
      if (format !== undefined) {
        for (const { text, tag } of report.specs) {
          if (text === undefined) throw noFormat(tag);
          output.print(text);
        }
      } else if (!flags.json) {
        const shown = marked ?? report;
        show(flags.paths ? { ...shown, specs: withPlaces(shown, opened.caches) } : shown, flags, output);
      }
      // A cache that could not be read may have what is missing.
      if (report.failures.length === 0)
        for (const query of unmatched) {
          const name = printQuery(query);
          const why =
            folderHint(name, context.cwd) ??
            (flags.tags ? undefined : await nearMisses(opened.caches, query, { signal: context.signal }));
          output.note(`no cached spec matches ${name}${why === undefined ? "" : `: ${why}`}`);
        }
      if (report.failures.length > 0) return output.fail(aggregate([...report.failures], "caches"), marked ?? report);
      output.report(marked ?? report);
      return report.specs.length === 0 && specs.length > 0 ? 1 : 0;
    },
  );
};

/** Each spec with the name by which other verbs take it: its image, or in a mirror its tag. */
function withPlaces(
  { cache: only, specs }: { readonly cache: string; readonly specs: readonly (ListedSpec & MarkedRow)[] },
  caches: readonly ReadCache[],
): MarkedRow[] {
  const images = new Set(caches.filter(hasImages).map(({ name }) => name));
  return specs.map((row) => {
    const { cache = only, tag } = row;
    return { ...row, prefix: images.has(cache) ? imageName(cache, tag) : tag };
  });
}

const noFormat = (tag: string): StaveError =>
  new StaveError("USAGE", `the tag ${tag} is not enough for a format: it needs the index`, {
    hint: "update it with `stave index`, and leave out --tags",
  });

/** The marks of specs by their hashes. A question that was not answered is an error. */
async function marksOf(
  { specs }: ListAllReport,
  opened: readonly OpenedCache<ReadCache>[],
  { context, output, flags }: { readonly context: Context; readonly output: Output; readonly flags: Flags },
): Promise<Map<string, SignatureMark>> {
  const { markSpecs } = await import("../../api/signers/check-place.ts");
  const marks = new Map<string, SignatureMark>();
  for (const { cache, location, opener } of opened) {
    const rows = specs.filter((row) => row.cache === undefined || row.cache === cache.name);
    if (!hasImages(cache)) {
      output.note(`${cache.name} is a mirror: its specs are checked when they are installed`);
      continue;
    }
    const onWarning = (text: string): void => output.warn(text);
    const use = { around: context, options: flags, transport: opener.transport, onWarning };
    const place = { target: cache.target, location, memory: memoryFor(location, context).memory };
    const found = await markSpecs(
      place,
      rows.map(({ tag }) => tag),
      use,
    );
    if (found === undefined) output.note(`no trust policy requires signatures of ${cache.name}`);
    for (const { hash, tag } of rows) {
      const mark = found?.get(tag);
      if (mark !== undefined) marks.set(hash, mark);
    }
  }
  return marks;
}

function show(
  report: Omit<ListAllReport, "specs"> & { readonly specs: readonly MarkedRow[] },
  flags: Flags,
  output: Output,
): void {
  const { specs, withoutIndex, otherArchitectures } = report;
  for (const cache of withoutIndex)
    output.warn(`${cache} has no index: this list is from its tags; make one with \`stave index ${cache}\``);
  for (const { cache, tags } of report.unindexed)
    output.warn(
      `the index of ${cache} lacks ${count(tags.length, "spec")} that it has: update it with \`stave index ${cache}\`; --tags lists all`,
    );
  for (const text of specGroups(specs, flags, output)) output.print(text);
  const others =
    otherArchitectures > 0
      ? `, and ${otherArchitectures} for other operating systems or processors (-a shows them)`
      : "";
  output.note(`${count(specs.length, "cached spec")}${others}`);
}

// Throws USAGE for a word that matches no spec, but is an image layout: another cache was read instead of it.
function refuseLayout(word: string, cwd: string): void {
  const hint = folderHint(word, cwd);
  if (hint !== undefined && isLayoutFolder(resolve(cwd, word)))
    throw new StaveError("USAGE", `${word} was taken as a spec, but is a build cache`, { subject: word, hint });
}
