// Makes images that run of the specs of another cache: nothing is installed.
import { hasImages, type IndexedCache, lacks, type ReadCache } from "../../cache/cache.ts";
import { isUnfit } from "../../cache/unusable.ts";
import { StaveError } from "../../errors.ts";
import type { TaggedLayer } from "../../image/layer-plan.ts";
import { DEFAULT_COMPRESSION } from "../../image/pack/compression.ts";
import type { LayerMemory } from "../../image/pack/layer-memory.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf, shortName } from "../../spack/spec/spec-name.ts";
import type { ReadTarget } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import { findCached } from "../cache/find-cached.ts";
import { readEnvironmentImage } from "../image/tagged-image.ts";
import { BaseImages, type BaseSource } from "../push/base-image.ts";
import { refuseOverBudget } from "../push/fit-layers.ts";
import { LayerJoiner } from "../push/layer-joiner.ts";
import { LayerShelf } from "../push/layer-shelf.ts";
import type { ArchiveFactsMemory } from "./archive-facts.ts";
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
  /** The most layers that it may have, those of its base included. */
  readonly budget: number;
  /** Remembers joined layers between runs, and what archives contain. */
  readonly memory?: LayerMemory | undefined;
  readonly archives?: ArchiveFactsMemory | undefined;
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
  const { tags, base, budget, memory, archives, signal, onProgress: progress = noProgress } = options;
  if (!hasImages(to)) throw lacks(to, "images");
  const roots = tags.length === 0 ? [] : (options.roots ?? (await foundRoots(from, options)));
  const [first] = roots;
  const architecture = first === undefined ? "" : oneArchitecture(roots, first);
  const bases = base && first && new BaseImages({ source: base, progress, signal });
  const image = await bases?.read(architecture);
  if (first !== undefined) refuseOverBudget(budget, { base: base?.name, below: image?.layers.length ?? 0, other: 0 });
  const report: PushFromReport = { sync: await sync(from, to, options), images: [] };
  const isWhole = report.sync.specs.every(({ outcome }) => outcome !== "absent" && outcome !== "failed");
  if (first === undefined || !isWhole) return report;
  await bases?.place(architecture, to.target);
  const writer = new ImageWriter(from, to, { signal, jobs: options.jobs, onBytes: () => {}, memory: archives });
  const joiner = new LayerJoiner({
    ...{ target: to.target, compression: DEFAULT_COMPRESSION, memory, progress, signal },
    shelf: new LayerShelf(),
    onLayer: () => {},
  });
  const previous = (await mapLimit(tags, CONCURRENCY, (tag) => layersOf(to.target, tag, signal), signal)).flat();
  const digest = await writer.writeTogether(roots, { tags, base: image, budget, previous, joiner, signal });
  report.images = tags.map((tag) => ({ tag, digest }));
  return report;
}

function oneArchitecture(roots: readonly SpecNode[], first: SpecNode): string {
  const architecture = goArchitectureOf(first);
  const other = roots.find((root) => goArchitectureOf(root) !== architecture);
  if (other === undefined) return architecture;
  throw new StaveError(
    "PLATFORM_MISMATCH",
    `${shortName(first)} is for ${architecture}, and ${shortName(other)} for ${goArchitectureOf(other)}`,
    { hint: "make one image for each" },
  );
}

// The layers of the image that a tag has, of which as many as possible stay.
async function layersOf(target: ReadTarget, tag: string, signal: AbortSignal): Promise<readonly TaggedLayer[]> {
  try {
    const { layers } = await readEnvironmentImage(target, tag, { signal });
    return layers.filter(({ slim, isLazy }) => slim === undefined && !isLazy);
  } catch (error) {
    if (isUnfit(error)) return [];
    throw error;
  }
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
