// `stave prune`: shows what a cache no longer needs, and removes it.
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Option } from "commander";
import * as z from "zod";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { lacks } from "../../cache/cache.ts";
import { updateIndex } from "../../cache/index-update.ts";
import { isPrunable, type PrunableCache } from "../../cache/spec-storage.ts";
import { fileError, StaveError } from "../../errors.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import { type PrunePlan, parseDuration, planPrune, prune } from "../../ops/cache/prune.ts";
import { printable } from "../../printable/printable.ts";
import { LOCKFILE_LIMIT, readLockfile } from "../../spack/spec/lockfile.ts";
import { isDagHash } from "../../spack/spec/node-reader.ts";
import { readBounded } from "../../util/read-file.ts";
import { CACHE_ARGUMENT, oneCache, writeCache } from "../arguments/cache-location.ts";
import { addGithub, type GithubFlags, githubPackages } from "../arguments/github-packages-flag.ts";
import {
  addDryRun,
  addTransport,
  type CommonFlags,
  collect,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { NEW_INDEX, remindToSign } from "../arguments/sign-reminder.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, GithubFlags {
  keepLock?: string[];
  keeplist?: string;
  keepWithin?: string;
  grace: string;
  yes?: boolean;
  dryRun?: boolean;
  undoFile?: string;
  undo?: string;
  mirror?: string;
}

const HELP = `
Say which specs to keep with --keep-lock, --keeplist, --keep-within or -e: they and their dependencies stay, and all other specs are
removed. Images under other tags are never touched, nor is their content. In a directory, blobs that nothing refers to are also
removed; a registry collects them itself. Changes nothing without --yes.

Someone else may be pushing, or may have pushed specs that no lock file names yet. Specs younger than --grace are therefore kept,
with their dependencies. In a directory, the age is that of the files. Some registries, stave serve included, tell it with
Last-Modified. Everywhere, a spec that the index does not list yet counts as young. --grace 0s turns this off. CACHE is
${CACHE_ARGUMENT}.

ghcr.io does not delete images by the registry protocol; there the packages API of GitHub is used, with the token of your login,
which needs the scopes read:packages and delete:packages. --github-api names that of another GitHub.

Examples:
  stave prune oci://ghcr.io/org/cache --keep-lock app/spack.lock --keep-within 30d
  stave prune oci://ghcr.io/org/cache -e . --undo-file removed.json --yes
  stave prune oci-layout:./stave-cache --yes                          removes only unused blobs
  stave prune oci://ghcr.io/org/cache --undo removed.json             restores what the registry still has`;

/** The command `stave prune`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("prune", "remove specs and blobs that a build cache no longer needs")
    .argument("[cache]", "the cache to prune")
    .option("--keep-lock <file>", "keep the specs of this lock file (may be repeated)", collect)
    .option("-k, --keeplist <file>", "keep the specs whose hashes this file lists, one per line")
    .option("--keep-within <time>", "keep specs pushed within this time, for example 30d")
    .option("--grace <time>", "keep specs younger than this: others may be pushing", "1h")
    .option("--yes", "remove them")
    .option("--undo-file <file>", "record what is removed in this file")
    .option("--undo <file>", "restore the specs recorded by --undo-file")
    .addOption(new Option("-m, --mirror <cache>", "the cache, like the argument").hideHelp());
  addSpack(addTransport(addGithub(addDryRun(command)))).addHelpText("after", helpText(HELP));
  return bindAction<[string | undefined], Flags>(command, state, run);
};

async function run(context: Context, output: Output, flags: Flags, text: string | undefined): Promise<number> {
  if (flags.yes && flags.dryRun)
    throw new StaveError("USAGE", "--yes and --dry-run exclude each other", { hint: "leave one of them out" });
  const files = new SpackFiles(context, flags);
  const keep = {
    hashes: await keptHashes(context, flags, files),
    within: flags.keepWithin === undefined ? undefined : parseDuration(flags.keepWithin, "--keep-within"),
  };
  const { signal, clock } = context;
  const grace = parseDuration(flags.grace, "--grace");
  const keepBlobs = flags.undoFile !== undefined;
  const options = { keep, grace, now: clock.now(), keepBlobs, signal, onProgress: output.progress };
  await using opened = await writeCache(
    oneCache(text, flags.mirror),
    { context, output, flags, files },
    {
      create: false,
      deleter: (place, { transport }, keychain) => githubPackages(place, { transport, keychain, flags, context }),
    },
  );
  const { cache } = opened;
  if (!isPrunable(cache)) throw lacks(cache, "delete");
  if (flags.undo !== undefined) {
    const status = await undo(cache, flags.undo, context, output);
    const what = "signatures were removed with the images";
    await remindToSign(opened.location, { kind: "images", what }, { context, output, flags: {} });
    return status;
  }
  const plan = await planPrune(cache, options);
  if (keep.hashes === undefined && keep.within === undefined)
    output.note("no flag says which specs to keep (--keep-lock, --keeplist, --keep-within, -e): all are kept");
  if (plan.ageless.length > 0)
    output.warn(`${count(plan.ageless.length, "spec")} kept because the time of the push is unknown`);
  if (plan.young.length > 0)
    output.note(
      `${count(plan.young.length, "spec")} kept because of --grace ${flags.grace}: pushed recently, or not yet in the index`,
    );
  if (flags.undoFile !== undefined && flags.yes) await writeUndo(plan, resolve(context.cwd, flags.undoFile));
  const done = flags.yes ? await prune(cache, plan, options) : undefined;
  for (const line of render(done ?? plan, done !== undefined, output)) output.print(line);
  if (done?.index?.isWritten) await remindToSign(opened.location, NEW_INDEX, { context, output, flags: {} });
  if (done?.isUnsupported)
    throw new StaveError("UNSUPPORTED", `${plan.cache} does not support deletion`, {
      hint: "enable deletion in the registry, or remove the listed tags with the registry's own tools; for a registry of GitHub, name its API with --github-api",
    });
  // The manifests themselves are only in the undo file.
  const shown = (done ?? plan).images.map(({ manifest: _, ...image }) => image);
  if (done) output.report({ ...done, images: shown, isDryRun: false });
  else output.report({ ...plan, images: shown, isDryRun: true });
  return 0;
}

/** The hashes that the flags name; undefined if no flag names any. */
async function keptHashes(context: Context, flags: Flags, files: SpackFiles): Promise<Set<string> | undefined> {
  const { cwd } = context;
  const hashes = new Set<string>();
  const lock = await files.lock();
  const locks = lock === undefined ? [] : [lock];
  for (const file of flags.keepLock ?? [])
    locks.push(readLockfile((await readBounded(resolve(cwd, file), LOCKFILE_LIMIT)).bytes, file));
  for (const { graph } of locks) for (const node of graph.nodes()) hashes.add(node.hash);
  if (flags.keeplist !== undefined) {
    const { bytes } = await readBounded(resolve(cwd, flags.keeplist), LOCKFILE_LIMIT);
    for (const line of bytes.toString("utf8").split("\n")) {
      const hash = line.replace(/#.*/, "").trim().replace(/^\//, "");
      if (hash === "") continue;
      if (!isDagHash(hash))
        throw new StaveError(
          "USAGE",
          `${flags.keeplist} has the line "${printable(line.slice(0, 80))}", expected a whole DAG hash`,
        );
      hashes.add(hash);
    }
  }
  return locks.length === 0 && flags.keeplist === undefined ? undefined : hashes;
}

const undoSchema = z.object({
  cache: z.string(),
  images: z.array(z.object({ tag: z.string(), mediaType: z.string(), manifest: z.string() })).max(1_000_000),
});

async function writeUndo({ cache, images }: PrunePlan, path: string): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify({ cache, images }, null, 1)}\n`, { flag: "wx" });
  } catch (cause) {
    throw fileError(cause, "write", path);
  }
}

async function undo(cache: PrunableCache, file: string, context: Context, output: Output): Promise<number> {
  const { signal, cwd } = context;
  const path = resolve(cwd, file);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw fileError(cause, "read", path);
  });
  const { images } = parseBySchema(bytes, undoSchema, file);
  const storage = await cache.openStorage();
  for (const { tag, mediaType, manifest } of images) {
    await storage.restore({ tag, mediaType, manifest }, file, { signal });
    output.print(`restored ${printable(tag)}`);
  }
  const index = await updateIndex(cache, { signal });
  output.report({ cache: cache.name, restored: images.map(({ tag }) => tag), index });
  return 0;
}

function* render(plan: PrunePlan, isDone: boolean, output: Output): Iterable<string> {
  const { images, kept, garbage } = plan;
  for (const { tag } of images) yield `${output.style("red", "-")} ${printable(tag)}`;
  const verb = isDone ? "removed" : "would remove";
  const blobs = garbage.count > 0 ? ` and ${count(garbage.count, "blob")} of ${formatBytes(garbage.bytes)}` : "";
  yield `${verb} ${count(images.length, "spec")}${blobs}; ${kept} kept`;
  if (!isDone && images.length + garbage.count > 0) yield "nothing was changed; add --yes to remove them";
}
