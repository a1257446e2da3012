// `stave sync`: copies specs from one build cache to another, of any kind.
import { glob as globFiles } from "node:fs/promises";
import { resolve } from "node:path";
import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { splitCache } from "../../api/places/cache-choice.ts";
import { isMirror } from "../../api/places/mirror-location.ts";
import { hasImages } from "../../cache/cache.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { MANIFEST_LIST_LIMIT, readManifestList } from "../../ops/sync/manifest-list.ts";
import { planSync, type SyncReport, sync } from "../../ops/sync/sync.ts";
import { printable } from "../../printable/printable.ts";
import { readBounded } from "../../util/read-file.ts";
import { CACHE_ARGUMENT, readCache, readPushCache, writeCache } from "../arguments/cache-location.ts";
import { addMoving, type MovingFlags } from "../arguments/moving-flags.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { NEW_INDEX, remindToSign } from "../arguments/sign-reminder.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { syncText } from "../output/sync-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends MovingFlags {
  delete?: boolean;
  manifestGlob?: string;
}

const HELP = `
Copies archives byte for byte between caches of any kind; what DST has is not sent again. SPEC is looked up in SRC and copied with its
link and run dependencies. Without SPEC, copies the specs of the environment (-e DIR, or $SPACK_ENV), otherwise every spec of SRC.
Between mirrors, signatures are kept; other specs that go to a mirror are signed as by \`stave push\`. Specs that go to a registry or an
image layout become images that run. Updates the index of DST. SRC and DST are
${CACHE_ARGUMENT}.

Examples:
  stave sync https://binaries.example.org/stack file:///srv/mirror hdf5
  stave sync oci://ghcr.io/org/cache file:///srv/mirror -e . -k release@example.org
  stave sync file:///srv/mirror oci://ghcr.io/org/cache --plan`;

/** The command `stave sync`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("sync", "copy specs from one build cache to another, of any kind")
    .argument("[src]", "the cache to copy from")
    .argument("[dst]", "the cache to copy to")
    .argument("[specs...]", "the specs to copy")
    .option("--delete", "remove from DST every spec that was not selected")
    .option("--manifest-glob <glob>", "copy the specs in these lists of manifests, as in Spack; SRC is left out");
  addMoving(command).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined, string | undefined, string[]], Flags>(
    command,
    state,
    async (context, output, flags, src, dst, words) => {
      if (flags.manifestGlob !== undefined) return await syncLists(flags.manifestGlob, { context, output, flags }, src);
      if (src === undefined || dst === undefined)
        throw new StaveError("USAGE", `missing required argument '${src === undefined ? "src" : "dst"}'`, {
          hint: "usage: stave sync [OPTIONS] SRC DST [SPECS...]",
        });
      const { signal, clock, cwd } = context;
      const files = new SpackFiles(context, flags);
      // A cache among the specs is a mistake that is worth naming.
      const { specs: texts } = splitCache([dst, ...words], files.discovery.mirrors, cwd);
      const queries = texts.length === 0 || texts[0] === dst ? [] : await files.specs(texts);
      const lock = queries.length > 0 ? undefined : await files.lock();
      const run = { context, output, flags, files };
      await using source = await readCache(src, { ...run, verifies: flags.unsigned !== true });
      const options = {
        queries,
        nodes: lock && [...lock.graph.nodes()],
        removes: flags.delete,
        jobs: flags.jobs,
        now: clock.now(),
        onProgress: output.progress,
        signal,
      };
      const { unsigned, key } = flags;
      const signing = { unsigned, key, isLate: true };
      if (flags.dryRun) {
        await using opened = await readPushCache(dst, { ...run, signing }, { mayBeGone: true });
        return finish(await planSync(source.cache, opened.cache, options), output);
      }
      await using opened = await writeCache(dst, { ...run, signing }, { create: true });
      if (key !== undefined && !isMirror(opened.location))
        throw new StaveError("USAGE", "-k names a gpg key, and images have no gpg signatures", {
          hint: "leave out -k",
        });
      const report = await sync(source.cache, opened.cache, options);
      const isFromMirror = !hasImages(source.cache) && report.specs.some(({ outcome }) => outcome === "copied");
      const what = isFromMirror ? "images made of archives have no signatures" : NEW_INDEX.what;
      if (isFromMirror || report.index?.isWritten)
        await remindToSign(opened.location, { kind: isFromMirror ? "images" : "index", what }, { ...run, flags: {} });
      return finish(report, output);
    },
  );
};

// The lists say where specs come from and, unless a cache is named, where they go.
async function syncLists(
  glob: string,
  { context, output, flags }: { readonly context: Context; readonly output: Output; readonly flags: Flags },
  named: string | undefined,
): Promise<number> {
  const { signal, clock, cwd } = context;
  const files = new SpackFiles(context, flags);
  const { unsigned, key, jobs } = flags;
  const run = { context, output, flags, files };
  const lists = (await Array.fromAsync(globFiles(glob, { cwd }))).sort();
  if (lists.length === 0)
    throw new StaveError("NOT_FOUND", `no file matches ${printable(glob)}`, {
      subject: glob,
      hint: "quote the pattern",
    });
  const reports: SyncReport[] = [];
  for (const list of lists) {
    const { bytes } = await readBounded(resolve(cwd, list), MANIFEST_LIST_LIMIT);
    for (const { from, to, specs } of readManifestList(bytes, list)) {
      const options = { tagged: specs, jobs, now: clock.now(), onProgress: output.progress, signal };
      await using source = await readCache(from, { ...run, verifies: unsigned !== true });
      const signing = { unsigned, key, isLate: true };
      if (flags.dryRun) {
        await using opened = await readPushCache(named ?? to, { ...run, signing }, { mayBeGone: true });
        reports.push(await planSync(source.cache, opened.cache, options));
      } else {
        await using opened = await writeCache(named ?? to, { ...run, signing }, { create: true });
        reports.push(await sync(source.cache, opened.cache, options));
      }
    }
  }
  const [first] = reports;
  if (first === undefined)
    throw new StaveError("NOT_FOUND", `${printable(glob)} names no manifests`, { subject: glob });
  const names = (side: "from" | "to"): string => [...new Set(reports.map((report) => report[side]))].join(", ");
  const together: SyncReport = {
    ...{ ...first, from: names("from"), to: names("to"), specs: reports.flatMap(({ specs }) => specs) },
    lost: [...new Set(reports.flatMap(({ lost }) => lost))],
    sentBytes: reports.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
    failures: reports.flatMap(({ failures }) => failures),
  };
  return finish(together, output);
}

function finish(report: SyncReport, output: Output): number {
  for (const line of syncText(report, output)) output.print(line);
  if (report.failures.length > 0) return output.fail(aggregate([...report.failures], "specs"), report);
  output.report(report);
  return report.specs.some(({ outcome }) => outcome === "absent") ? 1 : 0;
}
