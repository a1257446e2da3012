// Makes images that run of the specs of another cache: nothing is installed.
import { hasImages, type IndexedCache, lacks, type ReadCache } from "../../cache/cache.ts";
import { StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf, shortName } from "../../spack/spec/spec-name.ts";
import { mapLimit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import { findCached } from "../cache/find-cached.ts";
import { BaseImages, type BaseSource } from "../push/base-image.ts";
import { ImageWriter } from "./image-writer.ts";
import { type SyncOptions, type SyncReport, sync } from "./sync.ts";

/** The options of `pushFrom`. */
export interface PushFromOptions extends SyncOptions {
  readonly signal: AbortSignal;
  /** The tags of one image of the specs and of all that they need at run time; none: only an image per spec. */
  readonly tags: readonly string[];
  /** The specs of that image; default: those that the queries find. */
  readonly roots?: readonly SpecNode[] | undefined;
  /** The image to build it on. */
  readonly base?: BaseSource | undefined;
}

/** The report of `pushFrom`. */
export interface PushFromReport {
  sync: SyncReport;
  images: { tag: string; digest: Digest }[];
}

const CONCURRENCY = 16;

/**
 * Copies specs as `sync` does, and makes one image of them. Throws as `sync` does, and UNSUPPORTED for tags in a cache
 * without images.
 */
export async function pushFrom(from: ReadCache, to: IndexedCache, options: PushFromOptions): Promise<PushFromReport> {
  const { tags, base, signal, onProgress: progress = noProgress } = options;
  if (!hasImages(to)) throw lacks(to, "images");
  const report: PushFromReport = { sync: await sync(from, to, options), images: [] };
  const isWhole = report.sync.specs.every(({ outcome }) => outcome !== "absent" && outcome !== "failed");
  if (tags.length === 0 || !isWhole) return report;
  const roots = options.roots ?? (await foundRoots(from, options));
  const [first] = roots;
  if (first === undefined) return report;
  const architecture = goArchitectureOf(first);
  const other = roots.find((root) => goArchitectureOf(root) !== architecture);
  if (other !== undefined)
    throw new StaveError(
      "PLATFORM_MISMATCH",
      `${shortName(first)} is for ${architecture}, and ${shortName(other)} for ${goArchitectureOf(other)}`,
      { hint: "make one image for each" },
    );
  const bases = base && new BaseImages({ source: base, progress, signal });
  const image = await bases?.read(architecture);
  await bases?.place(architecture, to.target);
  const writer = new ImageWriter(from, to, { signal, jobs: options.jobs, onBytes: () => {} });
  const digest = await writer.writeTogether(roots, { tags, base: image });
  report.images = tags.map((tag) => ({ tag, digest }));
  return report;
}

async function foundRoots(from: ReadCache, { queries = [], signal }: PushFromOptions): Promise<SpecNode[]> {
  const found = await mapLimit(queries, CONCURRENCY, ({ query }) => findCached(from, query, { signal }), signal);
  const specs = await mapLimit(
    found.flat(),
    CONCURRENCY,
    ({ tag, node }) => from.fetchSpec(tag, { node, signal }),
    signal,
  );
  return specs.map(({ document }) => document.root);
}
