// The specs that a push packs: others wait here for their layers and images.
import { StaveError } from "../../errors.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import type { PlannedLayer } from "../../image/layer-plan.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import type { Failures } from "../../util/failures.ts";

/** A spec to pack: its layer, once that is in the target, and the end of writing its image. */
export interface Making {
  readonly layer: PromiseWithResolvers<ImageLayer>;
  readonly image: PromiseWithResolvers<void>;
}

/** The layers of specs that share none, by DAG hash in the order of an image, and the names of specs that have none. */
export interface OwnLayers {
  readonly own: Map<string, ImageLayer>;
  readonly missing: string[];
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
    const made = { layer: Promise.withResolvers<ImageLayer>(), image: Promise.withResolvers<void>() };
    // Dependents may await these; without any, a rejection must not count as unhandled.
    for (const { promise } of [made.layer, made.image]) promise.catch(() => {});
    this.#made.set(hash, made);
  }

  /** The spec of this hash, if it is packed. */
  get(hash: string): Making | undefined {
    return this.#made.get(hash);
  }

  /** The specs' own layers; waits for those that are being packed. Throws the failure of one that was not. */
  async ownLayers(planned: readonly PlannedLayer[]): Promise<OwnLayers> {
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

  /**
   * Waits for the images of specs, without `self`: an image is written after those of its dependencies, so that an
   * interrupted push leaves a usable cache. Throws the failure of one that was not written.
   */
  async imagesBelow(planned: readonly PlannedLayer[], self?: SpecNode): Promise<void> {
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
}
