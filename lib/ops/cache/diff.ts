// `diff`: compares two sets of specs or two images.

import { hasImages, lacks, noIndex, orRegistry, type ReadCache, type ReadImageCache } from "../../cache/cache.ts";
import { indexedSpecs } from "../../cache/index-select.ts";
import { parseSpecTag } from "../../cache/spec-tag.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { specsInHistory } from "../../image/image-documents.ts";
import type { SystemPackage } from "../../loader/system-packages.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { configSchema, parseBySchema } from "../../oci/manifest.ts";
import type { Platform } from "../../oci/platform.ts";
import { imageName } from "../../oci/reference.ts";
import { compareNodes } from "../../spack/query/select.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { type Difference, specDifferences } from "../../spack/spec/spec-diff.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import { fetchConfig } from "../../target/image-config.ts";
import type { OperationOptions } from "../../target/target.ts";
import { baseLayers, openImage, type ReadLayersOptions, readLayers } from "../image/image-facts.ts";

/** One side of a comparison: its specs, its layers, or both. */
export interface DiffSide {
  readonly name: string;
  readonly specs: readonly SpecNode[] | undefined;
  /** For the image of an environment: the specs in its layers, of which only the names are known. */
  readonly named?: readonly DiffSpec[] | undefined;
  readonly layers: readonly Descriptor[] | undefined;
  /** Of an image, if asked for: the packages of its base; undefined if they are not listed in text, as rpm's. */
  readonly base?: readonly SystemPackage[] | undefined;
}

/** One spec of a difference. */
export interface DiffSpec {
  name: string;
  version: string;
  hash: string;
}

/** A package that both sides have, with different hashes. */
export interface RebuiltSpec {
  name: string;
  from: DiffSpec;
  to: DiffSpec;
  /** Why the hashes differ; `left` is the old value. Empty for images of environments, which do not record it. */
  differences: Difference[];
}

/** The report of `diff`. */
export interface DiffReport {
  from: string;
  to: string;
  /** Undefined if the sides do not record their specs, or only one of them all of its DAG. */
  specs: { added: DiffSpec[]; removed: DiffSpec[]; rebuilt: RebuiltSpec[]; same: number } | undefined;
  /** Undefined if a side has no layers. `bytes` is what a machine that has `from` must pull to get `to`. */
  layers: { added: number; removed: number; same: number; bytes: number } | undefined;
  /** The packages of the base images; undefined unless asked for and listed by both. */
  base: { added: SystemPackage[]; removed: SystemPackage[]; changed: ChangedPackage[]; same: number } | undefined;
}

/** A package of both bases, in different versions. */
export interface ChangedPackage {
  name: string;
  from: string;
  to: string;
}

/** Compares two sides. */
export function diff(from: DiffSide, to: DiffSide): DiffReport {
  const specs =
    from.specs && to.specs
      ? diffSpecs(from.specs, to.specs, specDifferences)
      : from.named && to.named && diffSpecs(from.named, to.named, () => []);
  const layers = from.layers && to.layers ? diffLayers(from.layers, to.layers) : undefined;
  if (specs === undefined && layers === undefined)
    throw new StaveError("USAGE", `${from.name} and ${to.name} have nothing in common to compare`, {
      hint: "compare two images, or two lock files, caches or images of specs",
    });
  const base = from.base && to.base && diffPackages(from.base, to.base);
  return { from: from.name, to: to.name, specs, layers, base };
}

function diffPackages(from: readonly SystemPackage[], to: readonly SystemPackage[]): NonNullable<DiffReport["base"]> {
  // Several versions of one package may be there, for instance for two architectures.
  const versions = (all: readonly SystemPackage[]): Map<string, string> =>
    new Map(
      [...Map.groupBy(all, ({ name }) => name)]
        .map(([name, same]): [string, string] => [
          name,
          [...new Set(same.map(({ version }) => version))].sort().join(" "),
        ])
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  const [before, after] = [versions(from), versions(to)];
  const only = (one: Map<string, string>, other: Map<string, string>): SystemPackage[] =>
    [...one].flatMap(([name, version]) => (other.has(name) ? [] : [{ name, version }]));
  const changed = [...after].flatMap(([name, version]): ChangedPackage[] => {
    const old = before.get(name);
    return old === undefined || old === version ? [] : [{ name, from: old, to: version }];
  });
  const added = only(after, before);
  return { added, removed: only(before, after), changed, same: after.size - added.length - changed.length };
}

/** True if a comparison found no difference. */
export function isSame({ specs, layers, base }: DiffReport): boolean {
  const other = specs ? specs.added.length + specs.removed.length + specs.rebuilt.length : 0;
  const packages = base ? base.added.length + base.removed.length + base.changed.length : 0;
  return other + packages === 0 && (layers === undefined || layers.added + layers.removed === 0);
}

/** What specs are paired by. */
type Comparable = DiffSpec & { readonly target?: unknown };

function diffSpecs<T extends Comparable>(
  from: readonly T[],
  to: readonly T[],
  differencesOf: (from: T, to: T) => Difference[],
): NonNullable<DiffReport["specs"]> {
  const [before, after] = [byHash(from), byHash(to)];
  const gone = [...before.values()].filter(({ hash }) => !after.has(hash)).sort(compareNodes);
  const fresh = [...after.values()].filter(({ hash }) => !before.has(hash)).sort(compareNodes);
  const rebuilt: RebuiltSpec[] = [];
  const paired = new Set<string>();
  for (const node of fresh) {
    const old = bestMatch(node, gone, paired);
    if (old === undefined) continue;
    paired.add(old.hash).add(node.hash);
    rebuilt.push({ name: node.name, from: named(old), to: named(node), differences: differencesOf(old, node) });
  }
  const rest = (nodes: readonly T[]) => nodes.filter(({ hash }) => !paired.has(hash)).map(named);
  return { added: rest(fresh), removed: rest(gone), rebuilt, same: after.size - fresh.length };
}

// Pairs packages of the same name: the same version first, then any that remain.
function bestMatch<T extends Comparable>(node: T, gone: readonly T[], paired: ReadonlySet<string>): T | undefined {
  const free = gone.filter(({ name, hash }) => name === node.name && !paired.has(hash));
  return free.find(({ version, target }) => version === node.version && target === node.target) ?? free[0];
}

const byHash = <T extends DiffSpec>(nodes: readonly T[]): Map<string, T> =>
  new Map(nodes.map((node) => [node.hash, node]));
const named = ({ name, version, hash }: DiffSpec): DiffSpec => ({ name, version, hash });

function diffLayers(from: readonly Descriptor[], to: readonly Descriptor[]): NonNullable<DiffReport["layers"]> {
  const [before, after] = [from, to].map((layers) => new Map(layers.map((layer) => [layer.digest, layer.size])));
  const added = [...(after ?? [])].filter(([digest]) => !before?.has(digest));
  const removed = [...(before ?? [])].filter(([digest]) => !after?.has(digest));
  const bytes = added.reduce((sum, [, size]) => sum + size, 0);
  return { added: added.length, removed: removed.length, same: (after?.size ?? 0) - added.length, bytes };
}

/** How to make a side of an image. */
export interface ImageSideOptions extends OperationOptions {
  /** Also read the packages of its base; the platform is that of an index. */
  readonly base?: (ReadLayersOptions & { readonly platform: Platform }) | undefined;
}

/**
 * Makes a side of a tag or digest: its layers and, for the image of a spec, its DAG; for the image of an environment,
 * the specs that its history names.
 */
export async function imageSide(cache: ReadCache, reference: string, options: ImageSideOptions): Promise<DiffSide> {
  const name = imageName(cache.name, reference);
  if (parseSpecTag(reference)) {
    const { document, layers } = await cache.fetchSpec(reference, options);
    return { name, specs: [...document.graph.nodes()], layers };
  }
  if (!hasImages(cache)) throw lacks(cache, "images");
  const image = parseFetched(await cache.target.fetchManifest(reference, options), cache.name);
  if (image.kind === "manifest") {
    const { config, layers } = image.value;
    const named = await specsInConfig(cache, config, options);
    const base = options.base && (await basePackages(cache, reference, options.base, options));
    return { name, specs: undefined, named, layers, base };
  }
  throw new StaveError("MEDIA_TYPE", `${name} is an image index, expected one image`, {
    hint: "name one of its images by digest",
  });
}

// The packages that the layers below those of specs list. The highest list counts: each has all packages.
async function basePackages(
  { target }: ReadImageCache,
  reference: string,
  reading: NonNullable<ImageSideOptions["base"]>,
  options: OperationOptions,
): Promise<readonly SystemPackage[] | undefined> {
  const image = await openImage(target, reference, reading.platform, options);
  const below = baseLayers(image);
  const facts = await readLayers(target, below, { ...reading, ...options });
  return facts.findLast(({ packages }) => packages.length > 0)?.packages;
}

// Undefined for an artifact, and for an image whose history names no spec.
async function specsInConfig(
  { target }: ReadImageCache,
  config: Descriptor,
  options: OperationOptions,
): Promise<DiffSpec[] | undefined> {
  const bytes = await fetchConfig(target, config, options);
  try {
    const { history } = parseBySchema(bytes, configSchema, `config ${config.digest}`);
    const specs = (history ?? []).flatMap(({ created_by }) => specsInHistory(created_by));
    return specs.length === 0 ? undefined : specs;
  } catch (error) {
    if (isStaveError(error, "CONTENT_INVALID")) return undefined;
    throw error;
  }
}

/** Makes a side of a cache: the specs of its index. Throws NOT_FOUND if it has specs but no index. */
export async function cacheSide(cache: ReadCache, options: OperationOptions): Promise<DiffSide> {
  const index = await cache.readIndex(options);
  if (index === undefined && cache.can.list && (await cache.list(options)).specs.size === 0)
    return { name: cache.name, specs: [], layers: undefined };
  if (index === undefined) throw await orRegistry(cache, noIndex(cache), options);
  return { name: cache.name, specs: indexedSpecs(index, [], cache.name).nodes, layers: undefined };
}
