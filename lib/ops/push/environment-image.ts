// Makes the tagged image of a push: one image of all roots and what they need at run time, slim or whole, in its
// budget, checked before it is tagged.
import { isStaveError, StaveError } from "../../errors.ts";
import { buildImage, type ImageLayer, specHistory } from "../../image/image-documents.ts";
import { withVariables } from "../../image/image-settings.ts";
import type { PlannedInImage } from "../../image/layer-plan.ts";
import type { Finding } from "../../loader/finding.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { PushOutcome } from "../../target/target.ts";
import type { Failures } from "../../util/failures.ts";
import { noProgress } from "../../util/progress.ts";
import type { Stop } from "../../util/stop.ts";
import { checkImage, specLayers, startError } from "./check-over-base.ts";
import type { DocumentWriter, ImageBase } from "./document-writer.ts";
import { fitLayers } from "./fit-layers.ts";
import { addedLibraryFolders, type ImageEnvironment } from "./image-variables.ts";
import type { LayerJoiner } from "./layer-joiner.ts";
import { lazyLayers } from "./lazy-layers.ts";
import type { MadeSpecs, OwnLayers } from "./made-specs.ts";
import type { PushSettings } from "./options.ts";
import { imageBudget, type PreparedPush } from "./prepare.ts";
import type { PushedImage } from "./report.ts";
import type { LayerSender } from "./send-layer.ts";
import { cutsOf, notSlimmed, notStripped, omitOf, slimLayers, slimRules, withStripTool } from "./slim-layers.ts";
import { layerOf } from "./spec-config.ts";

/** Docker cannot run images with more layers (overlay2). */
const MOST_LAYERS = 127;

/** What the run of a push shares with its tagged images. */
export interface EnvironmentImageParts {
  readonly options: PushSettings;
  readonly prepared: PreparedPush;
  readonly stop: Stop;
  readonly sender: LayerSender;
  readonly joiner: LayerJoiner;
  readonly writer: DocumentWriter;
  readonly environment: ImageEnvironment;
  readonly made: MadeSpecs;
  readonly failures: Failures;
}

/** The image of all roots, under each tag. */
export class EnvironmentImage {
  readonly #parts: EnvironmentImageParts;
  /** What the check of its programs found. */
  findings: readonly Finding[] = [];
  /** The folders that its variables add to those in which its base looks for libraries. */
  libraryPath: readonly string[] = [];

  constructor(parts: EnvironmentImageParts) {
    this.#parts = parts;
  }

  /** Makes and tags the image, if one is planned; notes a failure. Throws only if stopped, or for other errors. */
  async make(): Promise<PushedImage[]> {
    const { options, prepared, stop, failures } = this.#parts;
    const planned = prepared.plan.environment;
    const [first] = options.roots;
    if (planned === undefined || first === undefined) return [];
    try {
      return await this.#make(planned, first);
    } catch (caught) {
      if (!isStaveError(caught) || stop.signal.aborted) throw caught;
      const shown = `the image ${options.tags.join(", ")}`;
      failures.add(caught, shown, `${shown} was not pushed`);
      return [];
    }
  }

  async #make(planned: readonly PlannedInImage[], first: SpecNode): Promise<PushedImage[]> {
    const { options, prepared, stop, joiner, writer, environment } = this.#parts;
    const { spack, previous, extras, tagged } = prepared;
    const { tags, roots, image: settings = {}, labels } = options;
    const { own, missing } = await this.#ownLayers(planned);
    const under = await writer.base(first);
    const { base, architecture } = under;
    const budget = imageBudget(options, prepared.base);
    const fitted = await fitLayers({ planned, own, budget, previous }, joiner, stop.signal);
    const isLazy = settings.estargz === true;
    const form = { slim: slimRules(options)?.id, isLazy };
    const lazy = isLazy ? await this.#lazyLayers(fitted) : undefined;
    const specs = (lazy ?? fitted).map((layer) => ({ ...layer, createdBy: specHistory(layer.label, form) }));
    const layers = [...specs, ...(extras?.layers ?? []).map(({ layer }) => layer)];
    const env = withVariables(environment.of(roots, base, spack?.environment, extras?.project), settings);
    this.libraryPath = addedLibraryFolders(env, base);
    const image = buildImage({ base, architecture, layers, env, settings, labels });
    const { digest } = image.manifest.descriptor;
    warnOfLayers(image.layers.length, options);
    const size = image.layers.reduce((sum, layer) => sum + layer.size, 0);
    if (tags.some((tag) => tagged.get(tag) !== digest)) {
      await this.#check({ ...under, env, own, missing });
      for (const { made } of extras?.layers ?? []) await writer.extra(made);
    }
    const bytesOf = (all: readonly ImageLayer[]): number => all.reduce((sum, layer) => sum + layer.size, 0);
    const cost = lazy && { bytes: bytesOf(lazy), plainBytes: bytesOf(fitted) };
    const made: PushedImage[] = [];
    for (const tag of tags) {
      const isNew = tagged.get(tag) !== digest;
      if (isNew) {
        await writer.config(image, { isNew: false });
        await writer.manifest(image.manifest, architecture, tag);
      } else writer.manifests.set(tag, image.manifest.descriptor);
      made.push({
        tag,
        manifest: digest,
        layers: image.layers.length,
        size,
        isNew,
        missing,
        ...(cost && { estargz: cost }),
      });
    }
    return made;
  }

  async #lazyLayers(fitted: readonly ImageLayer[]): Promise<ImageLayer[]> {
    const { options, stop, writer } = this.#parts;
    const { target, compression, memory, progress = noProgress } = options;
    const onLayer = (outcome: PushOutcome, sent: number): void => writer.count(outcome, sent);
    return await lazyLayers(fitted, { target, compression, memory, progress, signal: stop.signal, onLayer });
  }

  // The layers of specs that share none. Throws if some are missing, unless that is allowed.
  async #ownLayers(planned: readonly PlannedInImage[]): Promise<OwnLayers> {
    const { options, made, sender, writer, stop } = this.#parts;
    const single = planned.flatMap((each) => (each.from === "group" ? [] : [each]));
    await made.imagesBelow(single);
    const slim = slimRules(options);
    if (slim === undefined) {
      const found = await made.ownLayers(single);
      if (found.missing.length === 0 || options.allowMissing) return found;
      throw lacking(found.missing);
    }
    const unstripped: string[] = [];
    const found = await withStripTool(options, async (tool) => {
      const send = async (node: SpecNode): Promise<ImageLayer> => {
        const sent = await sender.send(node, cutsOf(slim, node, tool));
        writer.count(sent.outcome, sent.sent, sent.packed);
        unstripped.push(...sent.unstripped.map((path) => `${path} of ${shortName(node)}`));
        return layerOf(node, sent, options.compression);
      };
      return await slimLayers(single, send, stop.signal);
    });
    if (unstripped.length > 0) options.progress?.({ type: "warning", text: notStripped(unstripped) });
    if (found.missing.length === 0 || options.allowMissing) return found;
    throw notSlimmed(found.missing);
  }

  // Throws if programs would not start. If layers are missing on purpose, that is only reported.
  async #check(image: ImageBase & OwnLayers & { readonly env: readonly string[] }): Promise<void> {
    const { base, architecture, env, own, missing } = image;
    const { options, prepared, stop } = this.#parts;
    const { store, target, base: source, facts: memory, progress, checkRun } = options;
    if (!checkRun || base === undefined || source === undefined) return;
    const layers = specLayers(prepared.plan.environment ?? [], own);
    const rules = slimRules(options);
    const omit = rules && ((node: SpecNode) => omitOf(rules, node));
    const extras = prepared.extras?.layers.map(({ facts }) => facts) ?? [];
    const findings = await checkImage(
      { base, architecture, env, layers, extras },
      { store, target, source, memory, progress, signal: stop.signal, omit },
    );
    const error = startError(findings, source.name);
    if (error !== undefined && missing.length === 0) throw error;
    this.findings = findings;
  }
}

function warnOfLayers(count: number, { tags, progress }: PushSettings): void {
  if (count <= MOST_LAYERS) return;
  const text = `the image ${tags.join(", ")} has ${count} layers; docker runs images of at most ${MOST_LAYERS}`;
  progress?.({ type: "warning", text });
}

function lacking(missing: readonly string[]): StaveError {
  const shown = missing.slice(0, 5).join(", ");
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : "";
  return new StaveError("SPEC_ABSENT", `the layers of ${shown}${more} are neither being packed nor in the cache`, {
    hint: "push these specs first (other shards may still be running), or use `allowMissing`",
  });
}
