// A push to a cache of archives, such as a mirror: each spec is packed and stored by itself; there are no images.
import { type ArchiveCache, lacks } from "../../cache/cache.ts";
import { isUnfit } from "../../cache/unusable.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { PlannedSpec } from "../../image/layer-plan.ts";
import { layerMediaType } from "../../image/pack/compression.ts";
import { PackPool } from "../../image/pack/pack-pool.ts";
import { OCI_LAYER_GZIP } from "../../oci/mediatype.ts";
import { askSpack, isFoundSpack } from "../../spack/environment/ask-spack.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName, specTag } from "../../spack/spec/spec-name.ts";
import type { PushOutcome } from "../../target/target.ts";
import { concernsAll, Failures } from "../../util/failures.ts";
import { mapLimit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import { Stop } from "../../util/stop.ts";
import { withDefaults } from "../../util/with-defaults.ts";
import { PUSH_DEFAULTS, type PushOptions } from "./options.ts";
import { noTotals, planSpecs } from "./plan-report.ts";
import { isInstalled, notInstalled, selectSpecs } from "./prepare.ts";
import { reindex } from "./reindex.ts";
import type { PushedSpec, PushPlanReport, PushReport } from "./report.ts";
import { SPECS_AHEAD } from "./run.ts";
import { LayerSender } from "./send-layer.ts";
import { isInShard } from "./shard.ts";
import { installedSpecPart } from "./spec-config.ts";

/** The options of a push to a cache of archives; what concerns images is refused or has no effect. */
export type PushArchivesOptions = Omit<PushOptions, "target" | "cache"> & { readonly cache: ArchiveCache };

const CONCURRENCY = 16;

/** Pushes specs. Failures are in the report, as those of a push of images. */
export async function pushArchives(given: PushArchivesOptions): Promise<PushReport> {
  const options = settingsOf(given);
  const { cache, signal, clock, updateIndex } = options;
  signal?.throwIfAborted();
  const started = clock.now();
  const stop = new Stop(signal);
  try {
    const { plan, leftOut, restricted } = await prepare(options, stop.signal);
    const run = new ArchiveRun(options, stop);
    const specs = await run.all(plan);
    signal?.throwIfAborted();
    const { totals, failures } = run;
    const isAny = specs.some(({ manifest }) => manifest !== undefined);
    if (isAny && !failures.some(concernsAll))
      await cache.publishKey({ isIndexed: updateIndex, signal }).catch((error: unknown) => {
        if (!isStaveError(error) || signal?.aborted) throw error;
        failures.push(error);
      });
    const index = updateIndex && !failures.some(concernsAll) ? await reindex(options, { specs, failures }) : undefined;
    return {
      ...{
        destination: cache.name,
        specs,
        images: [],
        views: [],
        environment: undefined,
        findings: [],
        indexes: [],
        signatures: undefined,
        attestations: [],
        totals,
        index,
        failures,
      },
      ...{ leftOut: leftOut.map(shortName), restricted: restricted.map(shortName) },
      milliseconds: clock.now() - started,
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Reports what such a push would do, and writes nothing. */
export async function planArchives(given: PushArchivesOptions): Promise<PushPlanReport> {
  const options = settingsOf(given);
  const { cache, signal } = options;
  const { plan, restricted } = await prepare(options, signal ?? new AbortController().signal);
  const totals = noTotals();
  const { specs } = await planSpecs(plan, options, totals);
  // Requests are told for registries only.
  totals.requests = 0;
  return { destination: cache.name, specs, images: [], base: [], restricted: restricted.map(shortName), totals };
}

type Settings = ReturnType<typeof settingsOf>;

function settingsOf(given: PushArchivesOptions) {
  const options = withDefaults(given, PUSH_DEFAULTS);
  if (options.tags.length > 0 || options.base !== undefined) throw lacks(options.cache, "images");
  if (layerMediaType(options.compression) !== OCI_LAYER_GZIP)
    throw new StaveError(
      "UNSUPPORTED",
      `${options.cache.name} takes only gzip: Spack reads nothing else from a mirror`,
      {
        hint: "use `compression: gzip`",
      },
    );
  return options;
}

interface Prepared {
  readonly plan: readonly PlannedSpec[];
  readonly leftOut: readonly SpecNode[];
  readonly restricted: readonly SpecNode[];
}

async function prepare(options: Settings, signal: AbortSignal): Promise<Prepared> {
  const { cache, store, failFast, spack } = options;
  const { nodes, leftOut } = selectSpecs(options);
  const { specs } = await cache.list({ signal });
  const planned = await mapLimit(nodes, CONCURRENCY, (node) => planOne(node, specs, options, signal), signal);
  const absent = planned.filter(({ action }) => action === "not installed").map(({ node }) => node);
  if (failFast && absent.length > 0) throw notInstalled(absent, store);
  const made = planned.filter(({ action }) => action === "pack").map(({ node }) => node);
  const says =
    spack === undefined || isFoundSpack(spack) || options.private || made.length === 0
      ? undefined
      : await askSpack({ environments: [], specs: made }, { ...spack, signal });
  const isAllowed = ({ node }: PlannedSpec): boolean => says?.restricted.has(node.hash) !== true;
  const restricted = planned.filter((each) => !isAllowed(each)).map(({ node }) => node);
  return { plan: planned.filter(isAllowed), leftOut, restricted };
}

async function planOne(
  node: SpecNode,
  listed: ReadonlyMap<string, unknown>,
  { cache, store, shard, force, verify }: Settings,
  signal: AbortSignal,
): Promise<PlannedSpec> {
  const tag = specTag(node);
  const planned = { node, tag, isRepair: false, layers: [] };
  const isThere = listed.has(tag) && (await cache.isAsPushed(tag, { node, signal }));
  const isBroken = isThere && verify && (await isDamaged(cache, node, signal));
  if (isThere && !force && !isBroken) return { ...planned, action: "keep" };
  if (!isInstalled(store, node)) return { ...planned, action: isThere ? "keep" : "not installed" };
  if (!isInShard(node, shard)) return { ...planned, action: "other shard" };
  return { ...planned, action: "pack", isRepair: isBroken };
}

async function isDamaged(cache: ArchiveCache, node: SpecNode, signal: AbortSignal): Promise<boolean> {
  try {
    const spec = await cache.fetchSpec(specTag(node), { node, signal });
    return !(await cache.blobsOf(spec).hasBlob(spec.archive, { signal }));
  } catch (error) {
    if (isUnfit(error)) return true;
    throw error;
  }
}

class ArchiveRun {
  readonly totals = { blobs: { pushed: 0, mounted: 0, present: 0 }, packedBytes: 0, sentBytes: 0 };
  readonly #options: Settings;
  readonly #stop: Stop;
  readonly #failures = new Failures();
  #causes: StaveError[] = [];

  constructor(options: Settings, stop: Stop) {
    this.#options = options;
    this.#stop = stop;
  }

  get failures(): StaveError[] {
    return this.#causes;
  }

  async all(plan: readonly PlannedSpec[]): Promise<PushedSpec[]> {
    const { store, cache, compression, spackPrefix, memory, clock, progress = noProgress, jobs, force } = this.#options;
    const { signal } = this.#stop;
    const pool = new PackPool(jobs);
    try {
      const sender = new LayerSender({
        ...{ store, target: cache.blobs, pool, compression, spackPrefix, memory, clock, progress, signal, force },
        packing: jobs + 1,
      });
      const surveyed = sender.survey(plan.filter(({ action }) => action === "pack").map(({ node }) => node));
      const specs = await this.#stop
        .mapInWindow(plan, SPECS_AHEAD, (planned) => this.#spec(planned, sender))
        .finally(() => surveyed);
      const absent = plan.filter(({ action }) => action === "not installed").map(({ node }) => node);
      if (absent.length > 0) this.#failures.note(notInstalled(absent, store));
      this.#causes = this.#failures.causes;
      return specs;
    } finally {
      await pool.close();
    }
  }

  async #spec(planned: PlannedSpec, sender: LayerSender): Promise<PushedSpec> {
    const { node, tag, action } = planned;
    const common = { name: node.name, version: node.version, hash: node.hash, tag };
    let done: PushedSpec;
    if (action === "pack") done = await this.#pack(planned, common, sender);
    else if (action === "keep" || action === "complete") done = { ...common, outcome: "present" };
    else done = { ...common, outcome: action };
    if (done.outcome !== "failed" || !this.#stop.signal.aborted) this.#options.onSpec?.(done);
    return done;
  }

  async #pack(
    { node, isRepair }: PlannedSpec,
    common: Pick<PushedSpec, "name" | "version" | "hash" | "tag">,
    sender: LayerSender,
  ): Promise<PushedSpec> {
    const { cache, store, failFast } = this.#options;
    const { signal } = this.#stop;
    try {
      const sent = await sender.send(node);
      this.#count(sent.outcome, sent.sent, sent.packed);
      const { document } = await installedSpecPart(node, store);
      const { digest, size, diffId, archiveSize, outcome, skipped, milliseconds } = sent;
      const manifest = await cache.putSpec({ node, document, archive: { digest, size } }, { signal });
      const layer = { digest, size, diffId, archiveSize, outcome };
      this.#failures.succeeded();
      return { ...common, outcome: isRepair ? "repaired" : "pushed", manifest, layer, milliseconds, skipped };
    } catch (caught) {
      if (!isStaveError(caught)) this.#stop.end(caught);
      if (!isStaveError(caught)) throw caught;
      if (signal.aborted) return { ...common, outcome: "failed", error: caught };
      const ending = this.#failures.endedBy(caught);
      const name = shortName(node);
      const error = ending ?? this.#failures.add(caught, name, `${name} was not pushed`);
      if (ending !== undefined || failFast) {
        this.#failures.end(error);
        this.#stop.end(error);
      }
      return { ...common, outcome: "failed", error };
    }
  }

  #count(outcome: PushOutcome, sent: number, packed: number): void {
    this.totals.blobs[outcome]++;
    this.totals.sentBytes += sent;
    this.totals.packedBytes += packed;
  }
}
