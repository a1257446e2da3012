// Joins layers of dependencies in the images of specs that have more of them than the budget allows. Spack installs the
// last layer of an image, which stays the spec's own.
import type { ImageLayer } from "../../image/image-documents.ts";
import { planImage } from "../../image/image-plan.ts";
import type { PlannedSpec, TaggedLayer } from "../../image/layer-plan.ts";
import { joinParts } from "./fit-layers.ts";
import type { LayerJoiner } from "./layer-joiner.ts";

/** The images that need it, one after the other: each keeps as many layers of the ones before as it can. */
export class DependencyLayers {
  readonly #turns = new Map<string, PromiseWithResolvers<void>>();
  readonly #joined: TaggedLayer[] = [];

  /** Takes the specs whose images are made and need it, in the order of their turns. */
  constructor(specs: readonly PlannedSpec[]) {
    for (const { node } of specs) this.#turns.set(node.hash, Promise.withResolvers<void>());
  }

  /** True if no image needs it. */
  get isEmpty(): boolean {
    return this.#turns.size === 0;
  }

  /** The layers of the image of a spec from those of its specs, of which its own is the last; waits for its turn. */
  async fit(
    planned: PlannedSpec,
    own: ReadonlyMap<string, ImageLayer>,
    { budget, joiner, signal }: { readonly budget: number; readonly joiner: LayerJoiner; readonly signal: AbortSignal },
  ): Promise<ImageLayer[]> {
    const { hash } = planned.node;
    const last = own.get(hash);
    if (!this.#turns.has(hash) || last === undefined) return [...own.values()];
    for (const [other, { promise }] of this.#turns) {
      if (other === hash) break;
      await promise;
    }
    const plan = planImage({
      planned: planned.layers.filter(({ node }) => node.hash !== hash),
      sizeOf(each) {
        const layer = own.get(each.node.hash);
        return layer && { size: layer.size, isRigid: each.from === "cache" && each.isRigid };
      },
      budget: budget - 1,
      previous: this.#joined,
    });
    const layers = await joinParts(plan, own, joiner, signal);
    for (const [at, parts] of plan.entries()) {
      const hashes = parts.flatMap(({ nodes }) => nodes.map((node) => node.hash));
      const layer = layers[at];
      if (parts.length > 1 && layer !== undefined) this.#joined.push({ hashes, layer });
    }
    return [...layers, last];
  }

  /** Ends the turn of a spec, whether its image was made or not. */
  done(hash: string): void {
    this.#turns.get(hash)?.resolve();
  }
}
