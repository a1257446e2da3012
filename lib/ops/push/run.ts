// Carries out a plan: layers, then the images of specs, each after those of its dependencies, then the tagged images. A
// failure stops only what depends on it.
import { isStaveError, StaveError } from "../../errors.ts";
import type { BaseImage } from "../../image/base-image-reader.ts";
import {
  type BuiltImage,
  buildImage,
  type ImageLayer,
  type SpecPart,
  slimHistory,
} from "../../image/image-documents.ts";
import { withVariables } from "../../image/image-settings.ts";
import type { PlannedLayer, PlannedSpec } from "../../image/layer-plan.ts";
import { layerMediaType } from "../../image/pack/compression.ts";
import type { MadeLayer } from "../../image/pack/made-layer.ts";
import { PackPool } from "../../image/pack/pack-pool.ts";
import type { SlimRules } from "../../image/slim.ts";
import type { Finding } from "../../loader/finding.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf, shortName } from "../../spack/spec/spec-name.ts";
import { DOCUMENTS_AT_ONCE, type PushOutcome } from "../../target/target.ts";
import { concernsAll, Failures } from "../../util/failures.ts";
import { isGone } from "../../util/inspect-path.ts";
import { Limit } from "../../util/limit.ts";
import { noProgress } from "../../util/progress.ts";
import type { Stop } from "../../util/stop.ts";
import { bytesSource } from "../../util/stream.ts";
import { checkImage, specLayers, startError } from "./check-start.ts";
import { DependencyLayers } from "./dependency-layers.ts";
import { fitLayers } from "./fit-layers.ts";
import { addedLibraryFolders, ImageEnvironment } from "./image-variables.ts";
import { LayerJoiner } from "./layer-joiner.ts";
import { LayerShelf } from "./layer-shelf.ts";
import type { PushSettings } from "./options.ts";
import {
  imageBudget,
  isInstalled,
  labelOf,
  notInstalled,
  type PreparedPush,
  specBudget,
  specsOverBudget,
} from "./prepare.ts";
import type { PushedImage, PushedSpec, PushedVariables, PushReport, SpecOutcome } from "./report.ts";
import { LayerSender, type SentLayer } from "./send-layer.ts";
import { notSlimmed, omitOf, slimLayers, slimRules } from "./slim-layers.ts";
import { installedSpecPart, specPartOf } from "./spec-config.ts";

/** Docker cannot run images with more layers (overlay2). */
const MOST_LAYERS = 127;

/** The results of a push. */
export interface PushResults extends Pick<PushReport, "specs" | "images" | "findings" | "totals"> {
  readonly failures: StaveError[];
  readonly variables: Pick<PushedVariables, "notUnderstood" | "libraryPath">;
  /** The manifests that were made, by tag; those of `images` may have been there before. */
  readonly manifests: ReadonlyMap<string, Descriptor>;
}

/** A spec to pack: its layer, once that is in the target, and the end of writing its image. */
interface Making {
  readonly layer: PromiseWithResolvers<ImageLayer>;
  readonly image: PromiseWithResolvers<void>;
}

function making(): Making {
  const made = { layer: Promise.withResolvers<ImageLayer>(), image: Promise.withResolvers<void>() };
  // Dependents may await these; without any, a rejection must not count as unhandled.
  for (const { promise } of [made.layer, made.image]) promise.catch(() => {});
  return made;
}

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
  /** The specs to pack, by DAG hash. */
  readonly #made = new Map<string, Making>();
  readonly #failures = new Failures();
  readonly #findings: Finding[] = [];
  readonly #manifests = new Map<string, Descriptor>();
  #libraryPath: readonly string[] = [];
  readonly #totals = { blobs: { pushed: 0, mounted: 0, present: 0 }, packedBytes: 0, sentBytes: 0 };

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
    const { plan, base } = prepared;
    const shelf = new LayerShelf();
    const onLayer = (outcome: PushOutcome, sent: number): void => this.#count(outcome, sent);
    this.#joiner = new LayerJoiner({ target, compression, memory, shelf, progress, signal, onLayer });
    this.#dependencies = new DependencyLayers(specsOverBudget(options, prepared));
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
      shelf: isOver || !this.#dependencies.isEmpty ? shelf : undefined,
    });
    this.#environment = new ImageEnvironment(store, options.environment);
  }

  /** Runs the plan. Failures are in the results; throws only if stopped from outside, or what `onSpec` throws. */
  async run(): Promise<PushResults> {
    const { plan } = this.#prepared;
    try {
      const packed = plan.specs.filter(({ action }) => action === "pack").map(({ node }) => node);
      this.#refuseNowhere(packed);
      // All of them before any work starts: in push order, a spec may come before one that it depends on.
      for (const { hash } of packed) this.#made.set(hash, making());
      const specs = await this.#stop.all(plan.specs.map((planned) => this.#spec(planned)));
      const absent = plan.specs.filter(({ action }) => action === "not installed").map(({ node }) => node);
      if (absent.length > 0) this.#failures.note(notInstalled(absent, this.#options.store));
      const images = this.#stop.signal.aborted ? [] : await this.#environmentImages();
      for (const { outcome, descriptor } of this.#prepared.bases?.placed ?? [])
        this.#count(outcome, outcome === "pushed" ? descriptor.size : 0);
      const failures = this.#failures.causes;
      return {
        ...{ specs, images, findings: this.#findings, totals: this.#totals, failures },
        variables: { notUnderstood: this.#environment.notUnderstood, libraryPath: this.#libraryPath },
        manifests: this.#manifests,
      };
    } finally {
      await this.#pool.close();
    }
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
    const made = this.#made.get(node.hash);
    try {
      const sent = action === "pack" ? await this.#sender.send(node) : undefined;
      if (sent) this.#count(sent.outcome, sent.sent, sent.packed);
      const own = sent && this.#layerOf(node, sent);
      if (own) made?.layer.resolve(own);
      const { own: found, missing } = await this.#ownLayers(planned.layers);
      // If the layer was missing, no earlier run can have pushed the config.
      const isNew = sent?.outcome === "pushed" && !this.#options.force;
      const budget = specBudget(this.#options, this.#prepared.base, node);
      const layers = await this.#dependencies.fit(planned, found, { budget, joiner: this.#joiner, signal });
      const manifest = await this.#writeSpec(planned, layers, isNew);
      made?.image.resolve();
      if (sent === undefined) return { ...common, outcome: "completed", manifest, missing };
      const outcome = planned.isRepair ? "repaired" : "pushed";
      const { digest, size, diffId, archiveSize, skipped, milliseconds } = sent;
      const layer = { digest, size, diffId, archiveSize, outcome: sent.outcome };
      return { ...common, outcome, manifest, layer, milliseconds, missing, skipped };
    } catch (caught) {
      if (!isStaveError(caught)) this.#stop.end(caught);
      // Settle these even for unknown errors, so that no dependent waits forever.
      made?.layer.reject(caught);
      made?.image.reject(caught);
      if (!isStaveError(caught)) throw caught;
      if (signal.aborted) return { ...common, outcome: "failed", error: caught };
      if (concernsAll(caught)) {
        this.#failures.end(caught);
        this.#stop.end(caught);
        return { ...common, outcome: "failed", error: caught };
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

  #count(outcome: PushOutcome, sent: number, packed = 0): void {
    this.#totals.blobs[outcome]++;
    this.#totals.sentBytes += sent;
    this.#totals.packedBytes += packed;
  }

  #layerOf(node: SpecNode, { digest, size, diffId }: SentLayer): ImageLayer {
    return { mediaType: layerMediaType(this.#options.compression), digest, size, diffId, label: labelOf(node) };
  }

  // The specs' own layers, by DAG hash in the order of an image; waits for those that are being packed.
  async #ownLayers(planned: readonly PlannedLayer[]): Promise<{ own: Map<string, ImageLayer>; missing: string[] }> {
    const own = new Map<string, ImageLayer>();
    const missing: string[] = [];
    for (const each of planned) {
      const { node } = each;
      if (each.from === "cache") own.set(node.hash, each.layer);
      else if (each.from === "nowhere") missing.push(shortName(node));
      else {
        const made = this.#made.get(node.hash);
        if (made === undefined) throw new StaveError("INTERNAL", `nothing packs ${shortName(node)}`);
        own.set(node.hash, await this.#unlessFailed(node, made.layer.promise));
      }
    }
    return { own, missing };
  }

  #slimLayers(
    planned: readonly PlannedLayer[],
    rules: SlimRules,
  ): Promise<{ own: Map<string, ImageLayer>; missing: string[] }> {
    const send = async (node: SpecNode): Promise<ImageLayer> => {
      const sent = await this.#sender.send(node, omitOf(rules, node));
      this.#count(sent.outcome, sent.sent, sent.packed);
      return this.#layerOf(node, sent);
    };
    return slimLayers(planned, send, this.#stop.signal);
  }

  // Images are written after those of their dependencies, so that an interrupted push leaves a usable cache.
  async #imagesBelow(planned: readonly PlannedLayer[], self?: SpecNode): Promise<void> {
    for (const { node } of planned) {
      const made = node.hash === self?.hash ? undefined : this.#made.get(node.hash);
      if (made) await this.#unlessFailed(node, made.image.promise);
    }
  }

  async #unlessFailed<T>(node: SpecNode, made: Promise<T>): Promise<T> {
    return await made.catch((cause: unknown) => {
      throw this.#failures.following(shortName(node), cause);
    });
  }

  // The config is pushed at once; only the manifest waits for the images of dependencies.
  async #writeSpec(planned: PlannedSpec, layers: readonly ImageLayer[], isNew: boolean): Promise<Digest> {
    const { node, tag } = planned;
    const { signal } = this.#stop;
    const { architecture } = await this.#base(node);
    const manifest = await this.#writing.run(
      async () => {
        const image = await this.#specImage(planned, layers);
        await this.#writeConfig(image, { isNew });
        return image.manifest;
      },
      { signal },
    );
    await this.#imagesBelow(planned.layers, node);
    await this.#writeManifest(manifest, architecture, tag);
    return manifest.descriptor.digest;
  }

  async #specImage({ node, tag, action }: PlannedSpec, layers: readonly ImageLayer[]): Promise<BuiltImage> {
    const { store, cache } = this.#options;
    const { signal } = this.#stop;
    const asked = this.#prepared.spack?.bySpec.get(node.hash);
    const { base, architecture } = await this.#base(node);
    const spec: SpecPart =
      action === "complete" && !isInstalled(store, node)
        ? specPartOf(node, (await cache.fetchSpec(tag, { signal })).document.value)
        : await installedSpecPart(node, store);
    const env = this.#environment.of([node], base, asked);
    return buildImage({ base, architecture, layers, env, spec });
  }

  async #base(node: SpecNode): Promise<{ base: BaseImage | undefined; architecture: string }> {
    const architecture = goArchitectureOf(node);
    const { bases } = this.#prepared;
    if (bases === undefined) return { base: undefined, architecture };
    return { base: await bases.read(architecture), architecture };
  }

  async #writeConfig({ config }: BuiltImage, { isNew }: { readonly isNew: boolean }): Promise<void> {
    const { target } = this.#options;
    const { signal } = this.#stop;
    const outcome = await target.pushBlob(config.descriptor, bytesSource(config.bytes), { signal, isNew });
    if (outcome === "pushed") this.#totals.sentBytes += config.bytes.length;
  }

  async #writeExtra({ bytes, ...blob }: MadeLayer): Promise<void> {
    const { signal } = this.#stop;
    const outcome = await this.#options.target.pushBlob(blob, bytesSource(bytes), { signal });
    this.#count(outcome, outcome === "pushed" ? bytes.length : 0);
  }

  async #writeManifest(
    { bytes, descriptor }: BuiltImage["manifest"],
    architecture: string,
    tag: string,
  ): Promise<void> {
    const { target } = this.#options;
    const { signal } = this.#stop;
    await this.#prepared.bases?.place(architecture, target);
    await target.pushManifest(bytes, descriptor.mediaType, { tag, signal });
    this.#manifests.set(tag, descriptor);
  }

  async #environmentImages(): Promise<PushedImage[]> {
    const { plan, tagged, spack, previous, extras } = this.#prepared;
    const { tags, roots, allowMissing, progress } = this.#options;
    const [first] = roots;
    if (plan.environment === undefined || first === undefined) return [];
    const shown = tags.join(", ");
    try {
      const planned = plan.environment;
      const single = planned.flatMap((each) => (each.from === "group" ? [] : [each]));
      await this.#imagesBelow(single);
      const slim = slimRules(this.#options);
      const { own, missing } = slim ? await this.#slimLayers(single, slim) : await this.#ownLayers(single);
      if (missing.length > 0 && !allowMissing) throw slim ? notSlimmed(missing) : lacking(missing);
      const { base, architecture } = await this.#base(first);
      const budget = imageBudget(this.#options, this.#prepared.base);
      const fitted = await fitLayers({ planned, own, budget, previous }, this.#joiner, this.#stop.signal);
      const specs = fitted.map((layer) => (slim ? { ...layer, createdBy: slimHistory(layer.label, slim.id) } : layer));
      const layers = [...specs, ...(extras?.layers ?? []).map(({ layer }) => layer)];
      const { image: settings = {} } = this.#options;
      const env = withVariables(this.#environment.of(roots, base, spack?.environment, extras?.project), settings);
      this.#libraryPath = addedLibraryFolders(env, base);
      const image = buildImage({ base, architecture, layers, env, settings, labels: this.#options.labels });
      const { digest } = image.manifest.descriptor;
      if (image.layers.length > MOST_LAYERS)
        progress?.({
          type: "warning",
          text: `the image ${shown} has ${image.layers.length} layers; docker runs images of at most ${MOST_LAYERS}`,
        });
      const size = image.layers.reduce((sum, layer) => sum + layer.size, 0);
      const made: PushedImage[] = [];
      if (tags.some((tag) => tagged.get(tag) !== digest)) {
        await this.#check({ base, architecture, env, own, missing });
        for (const { made } of extras?.layers ?? []) await this.#writeExtra(made);
      }
      for (const tag of tags) {
        const isNew = tagged.get(tag) !== digest;
        if (isNew) {
          await this.#writeConfig(image, { isNew: false });
          await this.#writeManifest(image.manifest, architecture, tag);
        } else this.#manifests.set(tag, image.manifest.descriptor);
        made.push({ tag, manifest: digest, layers: image.layers.length, size, isNew, missing });
      }
      return made;
    } catch (caught) {
      if (!isStaveError(caught) || this.#stop.signal.aborted) throw caught;
      this.#failures.add(caught, `the image ${shown}`, `the image ${shown} was not pushed`);
      return [];
    }
  }

  // Throws if programs of the environment would not start. If layers are missing on purpose, that is only reported.
  async #check(image: {
    readonly base: BaseImage | undefined;
    readonly architecture: string;
    readonly env: readonly string[];
    readonly own: ReadonlyMap<string, ImageLayer>;
    readonly missing: readonly string[];
  }): Promise<void> {
    const { base, architecture, env, own, missing } = image;
    const { store, target, base: source, facts: memory, progress, checkRun } = this.#options;
    if (!checkRun || base === undefined || source === undefined) return;
    const planned = this.#prepared.plan.environment ?? [];
    const rules = slimRules(this.#options);
    const omit = rules && ((node: SpecNode) => omitOf(rules, node));
    const { signal } = this.#stop;
    const extras = this.#prepared.extras?.layers.map(({ facts }) => facts) ?? [];
    const findings = await checkImage(
      { base, architecture, env, layers: specLayers(planned, own), extras },
      { store, target, source, memory, progress, signal, omit },
    );
    const error = startError(findings, source.name);
    if (error !== undefined && missing.length === 0) throw error;
    this.#findings.push(...findings);
  }
}

function lacking(missing: readonly string[]): StaveError {
  const shown = missing.slice(0, 5).join(", ");
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : "";
  return new StaveError("SPEC_ABSENT", `the layers of ${shown}${more} are neither being packed nor in the cache`, {
    hint: "push these specs first (other shards may still be running), or use `allowMissing`",
  });
}
