// `check`: finds specs that a cache lacks, and images in it that are broken.

import type { CachedSpec, ReadCache } from "../../cache/cache.ts";
import { isUnfit } from "../../cache/unusable.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { formatSpec } from "../../spack/spec/spec-format.ts";
import { shortName, specTag } from "../../spack/spec/spec-name.ts";
import { withRefetch } from "../../target/refetch.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions } from "../../target/target.ts";
import { forEachLimit, SingleFlight } from "../../util/limit.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import { askInOrder, throwUnasked } from "./ask-in-order.ts";

/** How thoroughly images are checked: `deep` also asks for each blob, `bytes` also reads and hashes them. */
export type Depth = "tags" | "deep" | "bytes";

/** The options of `check`. */
export interface CheckOptions extends OperationOptions {
  /** The specs to look for, without externals; default: every spec of the cache. */
  readonly specs?: readonly SpecNode[] | undefined;
  readonly depth: Depth;
  readonly onProgress?: ProgressSink | undefined;
}

/** A spec that the cache lacks and that must be built. */
export interface MissingSpec {
  name: string;
  version: string;
  hash: string;
  tag: string;
  /** The spec in the short form of Spack's reports. */
  shortSpec: string;
}

/** An image that exists but cannot be used. */
export interface BrokenImage {
  cache: string;
  tag: string;
  reason: string;
}

/** The report of `check`. */
export interface CheckReport {
  /** The name of the cache; of several, separated by commas. */
  cache: string;
  /** How many specs were looked for. */
  checked: number;
  /** How many externals were skipped: Spack did not build them, so no cache has them. */
  externals: number;
  missing: MissingSpec[];
  broken: BrokenImage[];
  /** How many distinct blobs were checked, and their total size in bytes. */
  blobs: number;
  bytes: number;
}

// Above this number, listing all tags is cheaper than asking for each.
const FEW = 16;
const SHORT =
  "{name}{@version}{variants}{ platform=architecture.platform}{ os=architecture.os}{ target=architecture.target}{/hash:7}";

/** Checks a cache. Only specs that the cache reports as absent count as missing; a failed request throws. */
export async function check(cache: ReadCache, options: CheckOptions): Promise<CheckReport> {
  const { specs, depth, signal } = options;
  const wanted = specs?.filter((spec) => spec.external === undefined);
  const byTag = new Map(wanted?.map((spec) => [specTag(spec), spec]));
  const isThere = await presence(cache, specs && byTag, signal);
  const missing = [...byTag].filter(([tag]) => !isThere.has(tag)).map(([tag, spec]) => missingSpec(spec, tag));
  const report: CheckReport = {
    ...{ cache: cache.name, checked: wanted?.length ?? isThere.size, missing, broken: [] },
    externals: (specs?.length ?? 0) - (wanted?.length ?? 0),
    ...{ blobs: 0, bytes: 0 },
  };
  if (depth === "tags") return report;
  const images = new ImageCheck(cache, options, report);
  const tags = [...isThere].filter((tag) => specs === undefined || byTag.has(tag));
  await forEachLimit(tags, DOCUMENTS_AT_ONCE, (tag) => images.check(tag, byTag.get(tag)), signal);
  report.broken.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  return report;
}

/**
 * Checks several caches in order: a later one is asked for what those before it lack, so what is missing is in none of
 * them. Throws the failure of a cache that might have what is missing.
 */
export async function checkAll(caches: readonly ReadCache[], options: CheckOptions): Promise<CheckReport> {
  const reports: CheckReport[] = [];
  let sought = options.specs;
  const { failures } = await askInOrder(caches, async (cache) => {
    const report = await check(cache, { ...options, specs: sought });
    reports.push(report);
    const lacking = new Set(report.missing.map(({ hash }) => hash));
    sought = sought?.filter(({ hash, external }) => external === undefined && lacking.has(hash));
    return sought?.length === 0 ? report : undefined;
  });
  const [first] = reports;
  if (first === undefined || sought === undefined || sought.length > 0) throwUnasked(failures, caches.length);
  const sum = (of: (report: CheckReport) => number): number => reports.reduce((total, each) => total + of(each), 0);
  return {
    cache: caches.map(({ name }) => name).join(", "),
    checked: sought === undefined ? sum(({ checked }) => checked) : (first?.checked ?? 0),
    externals: first?.externals ?? 0,
    missing: reports.at(-1)?.missing ?? [],
    broken: reports.flatMap(({ broken }) => broken),
    blobs: sum(({ blobs }) => blobs),
    bytes: sum(({ bytes }) => bytes),
  };
}

async function presence(
  cache: ReadCache,
  wanted: ReadonlyMap<string, SpecNode> | undefined,
  signal: AbortSignal | undefined,
): Promise<Set<string>> {
  if (wanted === undefined || (wanted.size > FEW && cache.can.list))
    return new Set((await cache.list({ signal })).specs.keys());
  const found = new Set<string>();
  const ask = async ([tag, node]: [string, SpecNode]): Promise<void> => {
    if (await cache.has(tag, { node, signal })) found.add(tag);
  };
  await forEachLimit(wanted, DOCUMENTS_AT_ONCE, ask, signal);
  return found;
}

function missingSpec(spec: SpecNode, tag: string): MissingSpec {
  const { name, version, hash } = spec;
  return { name, version, hash, tag, shortSpec: formatSpec(spec, SHORT) };
}

class ImageCheck {
  readonly #cache: ReadCache;
  readonly #options: CheckOptions;
  readonly #report: CheckReport;
  readonly #progress: ProgressSink;
  // Images share layers: each blob is checked once, and the result applies to every image that contains it.
  readonly #blobs = new Map<string, string | undefined>();
  readonly #flights = new SingleFlight<string | undefined>();
  readonly #known = new Set<string>();

  constructor(cache: ReadCache, options: CheckOptions, report: CheckReport) {
    this.#cache = cache;
    this.#options = options;
    this.#report = report;
    this.#progress = options.onProgress ?? noProgress;
  }

  async check(tag: string, node: SpecNode | undefined): Promise<void> {
    const { signal } = this.#options;
    const cache = this.#cache.name;
    const image = await this.#fetch(tag, node);
    if (typeof image === "string") return void this.#report.broken.push({ cache, tag, reason: image });
    for (const { hash } of image.document.graph.nodes()) this.#known.add(hash);
    for (const layer of image.layers) {
      signal?.throwIfAborted();
      const key = `${layer.digest} ${layer.size}`;
      const reason = this.#blobs.has(key)
        ? this.#blobs.get(key)
        : await this.#flights.run(key, () => this.#look(key, image, layer));
      if (reason !== undefined) return void this.#report.broken.push({ cache, tag, reason });
    }
    this.#progress({ type: "note", text: `whole: ${shortName(image.document.root)}` });
  }

  async #fetch(tag: string, node: SpecNode | undefined): Promise<CachedSpec | string> {
    const { signal } = this.#options;
    try {
      return await this.#cache.fetchSpec(tag, { node, isKnown: (hash) => this.#known.has(hash), signal });
    } catch (error) {
      return reasonOf(error);
    }
  }

  async #look(key: string, image: CachedSpec, layer: Descriptor): Promise<string | undefined> {
    const { depth, signal } = this.#options;
    const blobs = this.#cache.blobsOf(image);
    const reason = await (async () => {
      try {
        if (depth === "bytes")
          await withRefetch(blobs, async (from) => {
            for await (const _chunk of await from.fetchBlob(layer, { signal }));
          });
        else if (!(await blobs.hasBlob(layer, { signal }))) return `its layer ${layer.digest} is missing`;
        return undefined;
      } catch (error) {
        return reasonOf(error);
      }
    })();
    this.#blobs.set(key, reason);
    this.#report.blobs++;
    this.#report.bytes += layer.size;
    return reason;
  }
}

// Bad content is a finding; an unanswered request is an error.
function reasonOf(error: unknown): string {
  if (isUnfit(error)) return error.message;
  throw error;
}
