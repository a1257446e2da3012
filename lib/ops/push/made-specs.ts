// The specs that a push packs: others wait here for their layers and images.
import { StaveError } from "../../errors.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import type { PlannedLayer } from "../../image/layer-plan.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Failures } from "../../util/failures.ts";

/** The layers of specs that share none, by DAG hash in the order of an image, and the names of specs that have none. */
export interface OwnLayers {
  readonly own: Map<string, ImageLayer>;
  readonly missing: string[];
}

// A spec to pack: its layer, once that is in the target, and whether its image is written. It holds promises only while
// others wait for it: thousands of specs stay here until the end.
interface Making {
  own: ImageLayer | undefined;
  hasImage: boolean;
  failure: { readonly cause: unknown } | undefined;
  layer: PromiseWithResolvers<void> | undefined;
  image: PromiseWithResolvers<void> | undefined;
}

/** The specs to pack, by DAG hash. */
export class MadeSpecs {
  readonly #made = new Map<string, Making>();
  readonly #failures: Failures;

  constructor(failures: Failures) {
    this.#failures = failures;
  }

  /** Adds a spec that will be packed. */
  add({ hash }: SpecNode): void {
    this.#made.set(hash, { own: undefined, hasImage: false, failure: undefined, layer: undefined, image: undefined });
  }

  /** The layer of a spec is in the target now. */
  gotLayer({ hash }: SpecNode, layer: ImageLayer): void {
    const made = this.#made.get(hash);
    if (made === undefined) return;
    made.own = layer;
    made.layer?.resolve();
    made.layer = undefined;
  }

  /** The image of a spec is written. */
  gotImage({ hash }: SpecNode): void {
    const made = this.#made.get(hash);
    if (made === undefined) return;
    made.hasImage = true;
    made.image?.resolve();
    made.image = undefined;
  }

  /** A spec gets no image; its dependents fail too. */
  failed({ hash }: SpecNode, cause: unknown): void {
    const made = this.#made.get(hash);
    if (made === undefined) return;
    made.failure ??= { cause };
    made.layer?.reject(cause);
    made.image?.reject(cause);
  }

  /** The specs' own layers; waits for those that are being packed. Throws the failure of one that was not. */
  async ownLayers(planned: readonly PlannedLayer[]): Promise<OwnLayers> {
    // First: otherwise hundreds of specs that wait here would each hold the layers of hundreds that they need.
    await this.#waitForLayers(planned);
    const own = new Map<string, ImageLayer>();
    const missing: string[] = [];
    for (const each of planned) {
      const { hash } = each.node;
      const layer = each.from === "cache" ? each.layer : this.#made.get(hash)?.own;
      if (each.from === "nowhere" || layer === undefined) missing.push(shortName(each.node));
      else own.set(hash, layer);
    }
    return { own, missing };
  }

  async #waitForLayers(planned: readonly PlannedLayer[]): Promise<void> {
    for (const { node, from } of planned) {
      if (from !== "push") continue;
      const made = this.#made.get(node.hash);
      if (made === undefined) throw new StaveError("INTERNAL", `nothing packs ${shortName(node)}`);
      if (made.own === undefined) await this.#unlessFailed(node, made, "layer");
    }
  }

  /**
   * Waits for the images of specs, without `self`: an image is written after those of its dependencies, so that an
   * interrupted push leaves a usable cache. Throws the failure of one that was not written.
   */
  async imagesBelow(planned: readonly PlannedLayer[], self?: SpecNode): Promise<void> {
    for (const { node } of planned) {
      const made = node.hash === self?.hash ? undefined : this.#made.get(node.hash);
      if (made !== undefined && !made.hasImage) await this.#unlessFailed(node, made, "image");
    }
  }

  async #unlessFailed(node: SpecNode, made: Making, part: "layer" | "image"): Promise<void> {
    if (made.failure !== undefined) throw this.#failures.following(shortName(node), made.failure.cause);
    made[part] ??= Promise.withResolvers<void>();
    await made[part].promise.catch((cause: unknown) => {
      throw this.#failures.following(shortName(node), cause);
    });
  }
}
