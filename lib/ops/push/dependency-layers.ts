// Joins layers of dependencies in the images of specs that have more of them than the budget allows. Spack installs the
// last layer of an image, which stays the spec's own.
import type { ImageLayer } from "../../image/image-documents.ts";
import { planImage } from "../../image/image-plan.ts";
import type { PlannedSpec, TaggedLayer } from "../../image/layer-plan.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { Window } from "../../util/window.ts";
import { joinParts } from "./fit-layers.ts";
import type { LayerJoiner } from "./layer-joiner.ts";
import { labelOf } from "./spec-config.ts";

/** How many joined layers to remember, those that were used last: an image may have dozens that no other has. */
const MOST_JOINED = 8000;

// A joined layer, numbered in the order of joining.
interface Joined {
  readonly number: number;
  readonly nodes: readonly SpecNode[];
  readonly layer: ImageLayer;
}

/** The images that need it, one after the other: each keeps as many layers of the ones before as it can. */
export class DependencyLayers {
  readonly #turns = new Window(1);
  /** The numbers of the turns, by DAG hash. */
  readonly #numbers: ReadonlyMap<string, number>;
  /** The joined layers in the order in which they were made, by the DAG hash of the last spec in each. */
  readonly #joined = new Map<string, Joined[]>();
  /** All of them, the least recently used first. */
  readonly #byUse = new Set<Joined>();
  #count = 0;

  /** Takes the specs whose images are made and need it, in the order of their turns. */
  constructor(specs: readonly PlannedSpec[]) {
    this.#numbers = new Map(specs.map(({ node }, at) => [node.hash, at]));
  }

  /** True if no image needs it. */
  get isEmpty(): boolean {
    return this.#numbers.size === 0;
  }

  /** The layers of the image of a spec from those of its specs, of which its own is the last; waits for its turn. */
  async fit(
    planned: PlannedSpec,
    own: ReadonlyMap<string, ImageLayer>,
    { budget, joiner, signal }: { readonly budget: number; readonly joiner: LayerJoiner; readonly signal: AbortSignal },
  ): Promise<ImageLayer[]> {
    const { hash } = planned.node;
    const last = own.get(hash);
    const number = this.#numbers.get(hash);
    if (number === undefined || last === undefined) return [...own.values()];
    await this.#turns.begin(number);
    signal.throwIfAborted();
    const joined = this.#joinedOf(planned);
    const plan = planImage({
      planned: planned.layers.filter(({ node }) => node.hash !== hash),
      sizeOf(each) {
        const layer = own.get(each.node.hash);
        return layer && { size: layer.size, isRigid: each.from === "cache" && each.isRigid };
      },
      budget: budget - 1,
      previous: [...joined.keys()],
    });
    const layers = await joinParts(plan, own, joiner, signal);
    for (const [at, parts] of plan.entries()) {
      const layer = layers[at];
      const previous = parts[0]?.previous;
      const kept = previous && joined.get(previous);
      if (parts.length > 1 && layer !== undefined)
        this.#remember(
          parts.flatMap(({ nodes }) => nodes),
          layer,
        );
      else if (kept !== undefined) this.#use(kept);
    }
    return [...layers, last];
  }

  // Of thousands of layers, those that the image may have.
  #joinedOf({ layers }: PlannedSpec): Map<TaggedLayer, Joined> {
    const found = layers.flatMap(({ node }) => this.#joined.get(node.hash) ?? []);
    found.sort((a, b) => a.number - b.number);
    return new Map(found.map((one) => [{ hashes: one.nodes.map((node) => node.hash), layer: one.layer }, one]));
  }

  #remember(nodes: readonly SpecNode[], { mediaType, digest, size, diffId }: ImageLayer): void {
    const layer = {
      ...{ mediaType, digest, size, diffId },
      // Made when it is used: it names a hundred specs, and there are thousands of layers.
      get label(): string {
        return nodes.map(labelOf).join(" ");
      },
    };
    const joined = { number: this.#count++, nodes, layer };
    const last = lastOf(joined);
    this.#joined.set(last, [...(this.#joined.get(last) ?? []), joined]);
    this.#use(joined);
    const [oldest] = this.#byUse;
    if (oldest === undefined || this.#byUse.size <= MOST_JOINED) return;
    this.#byUse.delete(oldest);
    const left = this.#joined.get(lastOf(oldest))?.filter((one) => one !== oldest) ?? [];
    if (left.length > 0) this.#joined.set(lastOf(oldest), left);
    else this.#joined.delete(lastOf(oldest));
  }

  #use(joined: Joined): void {
    this.#byUse.delete(joined);
    this.#byUse.add(joined);
  }

  /** Ends the turn of a spec, whether its image was made or not. */
  done(hash: string): void {
    const number = this.#numbers.get(hash);
    if (number !== undefined) this.#turns.end(number);
  }
}

function lastOf({ nodes }: Joined): string {
  return nodes.at(-1)?.hash ?? "";
}
