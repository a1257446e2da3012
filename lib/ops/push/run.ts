// Carries out a plan: layers, then the images of specs, each after those of its dependencies, then the tagged images. A
// failure stops only what depends on it.
import { isStaveError, StaveError } from "../../errors.ts";
import { type BuiltImage, buildImage, type ImageLayer, type SpecPart } from "../../image/image-documents.ts";
import type { PlannedSpec } from "../../image/layer-plan.ts";
import { PackPool } from "../../image/pack/pack-pool.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { Recurring } from "../../spack/text/recurring.ts";
import { DOCUMENTS_AT_ONCE, type PushOutcome } from "../../target/target.ts";
import { Failures } from "../../util/failures.ts";
import { isGone } from "../../util/inspect-path.ts";
import { Limit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import type { Stop } from "../../util/stop.ts";
import { DependencyLayers } from "./dependency-layers.ts";
import { DocumentWriter } from "./document-writer.ts";
import { EnvironmentImage } from "./environment-image.ts";
import { ImageEnvironment } from "./image-variables.ts";
import { LayerJoiner } from "./layer-joiner.ts";
import { LayerShelf } from "./layer-shelf.ts";
import { MadeSpecs } from "./made-specs.ts";
import type { PushSettings } from "./options.ts";
import {
  dependenciesFirst,
  imageBudget,
  isInstalled,
  isMade,
  isOverBudget,
  notInstalled,
  type PreparedPush,
  specBudget,
} from "./prepare.ts";
import type { PushedSpec, PushedVariables, PushReport, SpecOutcome } from "./report.ts";
import { LayerSender } from "./send-layer.ts";
import { installedSpecPart, layerOf, specPartOf } from "./spec-config.ts";

/** The results of a push. */
export interface PushResults extends Pick<PushReport, "specs" | "images" | "findings" | "totals"> {
  readonly failures: StaveError[];
  readonly variables: Pick<PushedVariables, "notUnderstood" | "libraryPath">;
  /** The manifests that were made, by tag; those of `images` may have been there before. */
  readonly manifests: ReadonlyMap<string, Descriptor>;
}

/** A config with up to this many layers counts as one of those written at once, a larger one as several. */
const LAYERS_PER_SLOT = 50;

/**
 * How many specs may be in progress, counted from the first that is not done: each holds its layers, and then its
 * manifest until those of its dependencies are written. Many, so that one large layer does not hold up the others.
 */
export const SPECS_AHEAD = 400;

/** One run of one plan. */
export class PushRun {
  readonly #options: PushSettings;
  readonly #prepared: PreparedPush;
  readonly #stop: Stop;
  readonly #pool: PackPool;
  readonly #sender: LayerSender;
  readonly #joiner: LayerJoiner;
  readonly #dependencies: DependencyLayers;
  readonly #environment: ImageEnvironment;
  readonly #writing = new Limit(DOCUMENTS_AT_ONCE);
  readonly #writer: DocumentWriter;
  readonly #failures = new Failures();
  readonly #made = new MadeSpecs(this.#failures);
  readonly #recurring: Recurring;
  /** The specs of the plan, dependencies first: a spec may wait only for those before it. */
  readonly #specs: readonly PlannedSpec[];

  /**
   * `stop` ends the run; with `failFast`, and after failures that concern all specs, the run ends itself.
   */
  constructor(options: PushSettings, prepared: PreparedPush, stop: Stop) {
    this.#options = options;
    this.#prepared = prepared;
    this.#stop = stop;
    this.#pool = new PackPool(options.jobs);
    const { store, target, compression, spackPrefix, memory, clock, progress = noProgress, jobs } = options;
    const { signal } = stop;
    const pool = this.#pool;
    // The database has the nodes of most specs.
    this.#recurring = new Recurring({ known: (hash) => store.get(hash)?.node.raw });
    const { plan, base, bases } = prepared;
    const shelf = new LayerShelf();
    this.#writer = new DocumentWriter(target, bases, signal);
    const onLayer = (outcome: PushOutcome, sent: number): void => this.#writer.count(outcome, sent);
    this.#joiner = new LayerJoiner({ target, compression, memory, shelf, progress, signal, onLayer });
    this.#specs = dependenciesFirst(plan);
    const over = this.#specs.filter((planned) => isMade(planned) && isOverBudget(planned, options, prepared));
    this.#dependencies = new DependencyLayers(over);
    const isOver = (plan.environment?.length ?? 0) > imageBudget(options, base);
    this.#sender = new LayerSender({
      store,
      target,
      pool,
      compression,
      spackPrefix,
      memory,
      clock,
      progress,
      signal,
      // One more than there are threads, so that they stay busy while a layer is being completed.
      packing: jobs + 1,
      force: options.force,
      isNewCache: prepared.isNewCache,
      shelf: isOver || !this.#dependencies.isEmpty ? shelf : undefined,
    });
    this.#environment = new ImageEnvironment(store, options.environment);
  }

  /** Runs the plan. Failures are in the results; throws only if stopped from outside, or what `onSpec` throws. */
  async run(): Promise<PushResults> {
    const { plan } = this.#prepared;
    try {
      const packed = this.#specs.filter(({ action }) => action === "pack").map(({ node }) => node);
      this.#refuseNowhere(packed);
      for (const node of packed) this.#made.add(node);
      const surveyed = this.#sender.survey(packed);
      const specs = await this.#allSpecs().finally(() => surveyed);
      const absent = plan.specs.filter(({ action }) => action === "not installed").map(({ node }) => node);
      if (absent.length > 0) this.#failures.note(notInstalled(absent, this.#options.store));
      const tagged = this.#environmentImage();
      const images = this.#stop.signal.aborted ? [] : await tagged.make();
      this.#writer.countBases();
      const failures = this.#failures.causes;
      const { findings, libraryPath } = tagged;
      const { totals, manifests } = this.#writer;
      return {
        ...{ specs, images, findings, totals, failures, manifests },
        variables: { notUnderstood: this.#environment.notUnderstood, libraryPath },
      };
    } finally {
      await this.#pool.close();
    }
  }

  #environmentImage(): EnvironmentImage {
    return new EnvironmentImage({
      options: this.#options,
      prepared: this.#prepared,
      stop: this.#stop,
      sender: this.#sender,
      joiner: this.#joiner,
      writer: this.#writer,
      environment: this.#environment,
      made: this.#made,
      failures: this.#failures,
    });
  }

  // In the order of the plan.
  async #allSpecs(): Promise<PushedSpec[]> {
    const done = await this.#stop.mapInWindow(this.#specs, SPECS_AHEAD, (planned) => this.#spec(planned));
    const byHash = new Map(done.map((spec) => [spec.hash, spec]));
    return this.#prepared.plan.specs.flatMap(({ node }) => byHash.get(node.hash) ?? []);
  }

  async #spec(planned: PlannedSpec): Promise<PushedSpec> {
    const { node, tag, action } = planned;
    const common = { name: node.name, version: node.version, hash: node.hash, tag };
    const outcomes: Partial<Record<typeof action, SpecOutcome>> = {
      keep: "present",
      "not installed": "not installed",
      "other shard": "other shard",
    };
    const outcome = outcomes[action];
    const done = outcome === undefined ? await this.#image(planned, common) : { ...common, outcome };
    // Specs that were interrupted are not reported.
    if (done.outcome !== "failed" || !this.#stop.signal.aborted) this.#options.onSpec?.(done);
    return done;
  }

  async #image(
    planned: PlannedSpec,
    common: Pick<PushedSpec, "name" | "version" | "hash" | "tag">,
  ): Promise<PushedSpec> {
    const { signal } = this.#stop;
    const { node, action } = planned;
    try {
      const sent = action === "pack" ? await this.#sender.send(node) : undefined;
      if (sent) this.#writer.count(sent.outcome, sent.sent, sent.packed);
      const own = sent && layerOf(node, sent, this.#options.compression);
      if (own) this.#made.gotLayer(node, own);
      const { own: found, missing } = await this.#made.ownLayers(planned.layers);
      // If the layer was missing, no earlier run can have pushed the config.
      const isNew = sent?.outcome === "pushed" && !this.#options.force;
      const budget = specBudget(this.#options, this.#prepared.base, node);
      const layers = await this.#dependencies.fit(planned, found, { budget, joiner: this.#joiner, signal });
      const manifest = await this.#writeSpec(planned, layers, isNew);
      this.#made.gotImage(node);
      this.#failures.succeeded();
      if (sent === undefined) return { ...common, outcome: "completed", manifest, missing };
      const outcome = planned.isRepair ? "repaired" : "pushed";
      const { digest, size, diffId, archiveSize, skipped, milliseconds } = sent;
      const layer = { digest, size, diffId, archiveSize, outcome: sent.outcome };
      return { ...common, outcome, manifest, layer, milliseconds, missing, skipped };
    } catch (caught) {
      if (!isStaveError(caught)) this.#stop.end(caught);
      // Settle these even for unknown errors, so that no dependent waits forever.
      this.#made.failed(node, caught);
      if (!isStaveError(caught)) throw caught;
      if (signal.aborted) return { ...common, outcome: "failed", error: caught };
      const ending = this.#failures.endedBy(caught);
      if (ending !== undefined) {
        this.#failures.end(ending);
        this.#stop.end(ending);
        return { ...common, outcome: "failed", error: ending };
      }
      const name = shortName(node);
      const error = this.#failures.add(caught, name, `${name} was not pushed`);
      if (this.#options.failFast) {
        this.#failures.end(error);
        this.#stop.end(error);
      }
      return { ...common, outcome: "failed", error };
    } finally {
      this.#dependencies.done(node.hash);
    }
  }

  // A store that was moved, or is below another sysroot, is one error and not one per spec.
  #refuseNowhere(packed: readonly SpecNode[]): void {
    const { store } = this.#options;
    const [first] = packed;
    if (first === undefined || packed.length < 2) return;
    const { sysroot } = store;
    if (packed.some((node) => !isGone(store.prefixOf(node), sysroot))) return;
    throw new StaveError(
      "SPEC_NOT_INSTALLED",
      `none of the ${packed.length} prefixes to push exists, for example ${store.locate(store.prefixOf(first))}`,
      { subject: store.root, hint: "the store is elsewhere, or below another sysroot; name the one where it is" },
    );
  }

  // The config is pushed at once; only the manifest waits for the images of dependencies.
  async #writeSpec(planned: PlannedSpec, layers: readonly ImageLayer[], isNew: boolean): Promise<Digest> {
    const { node, tag } = planned;
    const { signal } = this.#stop;
    const { architecture } = await this.#writer.base(node);
    const manifest = await this.#writing.run(
      async () => {
        const image = await this.#specImage(planned, layers);
        await this.#writer.config(image, { isNew });
        return image.manifest;
      },
      { weight: Math.max(1, Math.ceil(planned.layers.length / LAYERS_PER_SLOT)), signal },
    );
    await this.#made.imagesBelow(planned.layers, node);
    await this.#writer.manifest(manifest, architecture, tag);
    return manifest.descriptor.digest;
  }

  async #specImage({ node, tag, action }: PlannedSpec, layers: readonly ImageLayer[]): Promise<BuiltImage> {
    const { store, cache } = this.#options;
    const { signal } = this.#stop;
    const asked = this.#prepared.spack?.bySpec.get(node.hash);
    const { base, architecture } = await this.#writer.base(node);
    const spec: SpecPart =
      action === "complete" && !isInstalled(store, node)
        ? specPartOf(node, (await cache.fetchSpec(tag, { signal })).document.value)
        : await installedSpecPart(node, store, this.#recurring);
    const env = this.#environment.of([node], base, asked);
    const allocate = (size: number): Buffer => this.#writer.pool.take(size);
    return buildImage({ base, architecture, layers, env, spec, allocate });
  }
}
