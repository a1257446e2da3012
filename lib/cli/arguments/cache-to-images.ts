// `stave push --from`: images of the specs of another cache, without installing them.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { diskCache } from "../../api/machine/cache-folder.ts";
import { onlySpecs, splitCache } from "../../api/places/cache-choice.ts";
import { formatCache } from "../../api/places/mirror-location.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { StaveError } from "../../errors.ts";
import { DEFAULT_COMPRESSION } from "../../image/pack/compression.ts";
import { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { BaseSource } from "../../ops/push/base-image.ts";
import { ArchiveFactsMemory } from "../../ops/sync/archive-facts.ts";
import { type PushFromReport, pushFrom } from "../../ops/sync/push-from.ts";
import { planSync } from "../../ops/sync/sync.ts";
import { LINK, RUN } from "../../spack/spec/node.ts";
import { postOrder } from "../../spack/spec/traversal.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { syncText } from "../output/sync-text.ts";
import { pushCache, readCache, readPushCache, writeCache } from "./cache-location.ts";
import type { Opener } from "./open.ts";
import type { CommonFlags } from "./shared-flags.ts";

/** The flags that a push from a cache has. */
export interface PushFromFlags extends CommonFlags, SpackFlags, TrustOptions {
  readonly from: string;
  readonly tags: readonly string[];
  readonly directory?: string | undefined;
  readonly specFiles: readonly string[];
  readonly unsigned?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly jobs: number;
  readonly budget: number;
}

/** What the verb provides. */
export interface PushFromRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: PushFromFlags;
  /** Opens the base image, if one is named. */
  readonly base: (opener: Opener) => Promise<BaseSource | undefined>;
}

/** Throws USAGE if flags are given that need a store. */
export function refuseStoreFlags(given: Readonly<Record<string, unknown>>): void {
  const names: Readonly<Record<string, string>> = {
    ...{ all: "--all", force: "--force", verify: "--verify", shard: "--shard", only: "--only", private: "--private" },
    ...{ variable: "--variable", spackEnv: "--spack-env", sign: "--sign", keyless: "--keyless", signed: "--signed" },
    ...{ key: "--key", platformTag: "--platform-tag", allowMissing: "--allow-missing" },
    ...{ withBuildDependencies: "--with-build-dependencies", view: "--view", imageConfig: "--image-config" },
    ...{ entrypoint: "--entrypoint", cmd: "--cmd", user: "--user", addUser: "--add-user", workdir: "--workdir" },
    ...{ label: "--label", annotation: "--annotation", expose: "--expose", volume: "--volume" },
    ...{ stopSignal: "--stop-signal", healthcheck: "--healthcheck" },
    ...{ slim: "--slim", slimKeep: "--slim-keep", strip: "--strip", estargz: "--estargz" },
  };
  const wrong = Object.keys(names).find((name) => given[name] !== undefined && given[name] !== false);
  if (wrong !== undefined)
    throw new StaveError("USAGE", `${names[wrong]} and --from exclude each other`, {
      hint: "specs of another cache are taken as they are; leave it out, or install and push them from a store",
    });
}

/** Pushes specs of another cache and prints what was done; the caller reports it. */
export async function pushFromCache(
  { context, output, flags, base: openBase }: PushFromRun,
  args: readonly string[],
): Promise<PushFromReport> {
  const { signal, clock, cwd } = context;
  const files = new SpackFiles(context, flags);
  const split =
    flags.directory === undefined
      ? splitCache(args, files.discovery.mirrors, cwd)
      : { cache: flags.directory, specs: onlySpecs(args, cwd) };
  const texts = [...split.specs, ...flags.specFiles];
  const queries = await files.specs(texts);
  const lock = queries.length > 0 ? undefined : await files.lock();
  if (queries.length === 0 && lock === undefined)
    throw new StaveError("USAGE", "no spec is named, and there is no environment", {
      hint: "name specs of the cache, or an environment with -e DIR",
    });
  if (flags.tags.length > 0 && files.discovery.environment?.contents?.stave !== undefined)
    output.warn("the section stave of spack.yaml has no effect with --from");
  const roots = lock?.roots.map(({ node }) => node);
  const run = { context, output, flags, files };
  await using source = await readCache(flags.from, { ...run, verifies: flags.unsigned !== true });
  const options = {
    ...{ queries, roots, tags: flags.tags, jobs: flags.jobs, now: clock.now(), signal },
    nodes: roots && postOrder(roots, { types: LINK | RUN }),
    onProgress: output.progress,
  };
  const named = pushCache(split.cache, run);
  if (flags.dryRun) {
    await using opened = await readPushCache(named, run, { mayBeGone: true });
    const report = await planSync(source.cache, opened.cache, options);
    for (const line of syncText(report, output)) output.print(line);
    return { sync: report, images: [] };
  }
  let base: BaseSource | undefined;
  const first = async (opener: Opener): Promise<void> => {
    base = await openBase(opener);
  };
  await using opened = await writeCache(named, run, { create: true, mayUseMirror: true, first });
  const remembered = diskCache(context);
  const report = await pushFrom(source.cache, opened.cache, {
    ...{ ...options, base, budget: flags.budget },
    memory: new LayerMemory(remembered, DEFAULT_COMPRESSION),
    archives: new ArchiveFactsMemory(remembered),
  });
  for (const line of syncText(report.sync, output)) output.print(line);
  for (const { tag, digest } of report.images) output.print(`${formatCache(opened.location)}:${tag} ${digest}`);
  if (report.images.length > 0)
    output.note("variables that recipes set are not in these images: only the recipes know them");
  return report;
}
