// Plans a push as data: which specs are packed, which layers each image gets, what stays as it is. Pure: the content of
// the cache is passed in, and the plan names the images that must be read before it is complete.
import type { Digest } from "../oci/digest.ts";
import { LINK, RUN, type SpecNode } from "../spack/spec/node.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import { layerOrder } from "../spack/spec/spec-orders.ts";
import { edgesOf } from "../spack/spec/traversal.ts";
import { keptLayers } from "./budget.ts";
import type { ImageLayer } from "./image-documents.ts";

/** The image of a spec in the cache. */
export interface CachedImage {
  /** The spec's own layer. */
  readonly layer: ImageLayer;
  /** The digests of all its layers. */
  readonly digests: ReadonlySet<Digest>;
  /** The DAG hashes of specs that share a layer in it. */
  readonly joined?: ReadonlySet<string>;
  /** Joining its layer with others takes compressing it again. */
  readonly isRigid?: boolean;
}

/** A layer of a tagged image. */
export interface TaggedLayer {
  /** The DAG hashes of its specs, in their order. */
  readonly hashes: readonly string[];
  readonly layer: ImageLayer;
  /** The rules by which it is slim; undefined if it is whole. */
  readonly slim?: string | undefined;
  /** It is eStargz, so that no other layer is made from it. */
  readonly isLazy?: boolean | undefined;
}

/** The input of a plan. */
export interface PlanInput {
  /** The specs of the environment image. */
  readonly roots: readonly SpecNode[];
  /** The specs to push. */
  readonly selected: readonly SpecNode[];
  /** True if a spec is installed, so that it can be packed. */
  isInstalled(node: SpecNode): boolean;
  /** The tags of the cache. */
  readonly tags: ReadonlySet<string>;
  /** The images of the cache that were read, by DAG hash; `broken` if one cannot be used. */
  readonly images: ReadonlyMap<string, CachedImage | "broken">;
  /**
   * Layers of tagged images of the cache, from the bottom up. A spec's own image need not be read if its dependencies
   * are among them too: the layers of its specs were verified when the tagged image was made.
   */
  readonly tagged: readonly TaggedLayer[];
  /** Pack specs that are already in the cache. */
  readonly force: boolean;
  /** Read the images of all selected specs, to find broken and incomplete ones. */
  readonly verify: boolean;
  /** False for specs that other jobs pack. */
  isOurs(node: SpecNode): boolean;
  /** Plan one image of all roots. */
  readonly wantsEnvironment: boolean;
}

/** The origin of a spec's layer; `nowhere` if it is neither packed nor in the cache. */
export type PlannedLayer =
  | { readonly node: SpecNode; readonly from: "push" | "nowhere" }
  | { readonly node: SpecNode; readonly from: "cache"; readonly layer: ImageLayer; readonly isRigid: boolean };

/** The same in a tagged image, where a spec may be in a layer that the previous image has, together with others. */
export type PlannedInImage =
  | PlannedLayer
  | { readonly node: SpecNode; readonly from: "group"; readonly group: TaggedLayer };

/**
 * What to do with a spec: pack it and push its image; push its image again, because it lacks layers of dependencies
 * that exist now; keep it; nothing, as it is not installed; or leave it to another job.
 */
export type SpecAction = "pack" | "complete" | "keep" | "not installed" | "other shard";

/** One selected spec. */
export interface PlannedSpec {
  readonly node: SpecNode;
  readonly tag: string;
  readonly action: SpecAction;
  /** The image in the cache is broken. */
  readonly isRepair: boolean;
  /** The layers of an image to push: dependencies first, the spec itself last. */
  readonly layers: readonly PlannedLayer[];
}

/** The plan of a push. */
export interface PushPlan {
  /** In the order of `selected`, where a spec may come before one that it depends on. */
  readonly specs: readonly PlannedSpec[];
  /** The layers of the image of all roots; undefined if none was requested. */
  readonly environment: readonly PlannedInImage[] | undefined;
  /** Specs whose images must be read and passed as `images` before the plan is complete. */
  readonly unread: readonly SpecNode[];
}

/** Plans a push. Call it again with more `images` until `unread` is empty. */
export function planPush(input: PlanInput): PushPlan {
  const planner = new Planner(input);
  const specs = input.selected.map((node) => planner.spec(node));
  const environment = input.wantsEnvironment ? planner.environment() : undefined;
  return { specs, environment, unread: planner.unread };
}

class Planner {
  readonly #input: PlanInput;
  readonly #actions = new Map<string, SpecAction>();
  readonly #unread = new Map<string, SpecNode>();
  /** Layers by DAG hash, shared by all images: each image has hundreds, and copies would fill the memory. */
  readonly #planned = new Map<string, PlannedLayer>();
  // Specs whose own layer and those of all their link and run dependencies are known.
  readonly #whole = new Set<string>();
  /** Layers of one spec, by its hash. */
  readonly #known = new Map<string, ImageLayer>();
  /** Layers of several specs that stay as they are, by the hash of each. */
  readonly #groups = new Map<string, TaggedLayer>();

  constructor(input: PlanInput) {
    this.#input = input;
    const { selected, roots, tagged } = input;
    for (const node of selected) this.#actions.set(node.hash, this.#action(node));
    for (const { hashes, layer } of tagged) {
      const [hash] = hashes;
      if (hash !== undefined && hashes.length === 1) this.#known.set(hash, layer);
    }
    if (input.wantsEnvironment) this.#findGroups(layerOrder(roots));
    if (tagged.length > 0) this.#findWhole(layerOrder([...selected, ...roots]));
  }

  get unread(): SpecNode[] {
    return [...this.#unread.values()];
  }

  spec(node: SpecNode): PlannedSpec {
    const { images, verify } = this.#input;
    const action = this.#actions.get(node.hash) ?? "keep";
    const image = images.get(node.hash);
    const common = { node, tag: specTag(node), isRepair: image === "broken" };
    if (action === "pack") return { ...common, action, layers: this.layers([node]) };
    if (action !== "keep") return { ...common, action, layers: [] };
    if (image === undefined || image === "broken") {
      if (verify) this.#unread.set(node.hash, node);
      return { ...common, action, layers: [] };
    }
    const layers = this.layers([node]);
    return this.#isIncomplete(image, layers)
      ? { ...common, action: "complete", layers }
      : { ...common, action, layers: [] };
  }

  layers(roots: readonly SpecNode[]): PlannedLayer[] {
    return this.#inOrder(roots).map((node) => this.#plannedLayer(node));
  }

  environment(): PlannedInImage[] {
    return this.#inOrder(this.#input.roots).map((node) => {
      const group = this.#groups.get(node.hash);
      return group === undefined ? this.#plannedLayer(node) : { node, from: "group", group };
    });
  }

  #inOrder(roots: readonly SpecNode[]): SpecNode[] {
    return layerOrder(roots, !roots.some(({ format }) => format >= 5));
  }

  #findGroups(nodes: readonly SpecNode[]): void {
    const { tags, images, tagged } = this.#input;
    const isThere = (node: SpecNode): boolean =>
      this.#actions.get(node.hash) !== "pack" && tags.has(specTag(node)) && images.get(node.hash) !== "broken";
    const there = new Set(nodes.filter(isThere).map(({ hash }) => hash));
    const several = tagged.filter(({ hashes }) => hashes.length > 1).map((group) => ({ ids: group.hashes, group }));
    for (const { group } of keptLayers(several, there)) for (const hash of group.hashes) this.#groups.set(hash, group);
  }

  #findWhole(dependenciesFirst: readonly SpecNode[]): void {
    for (const node of dependenciesFirst) {
      const needed = edgesOf(node, { types: LINK | RUN }).map(({ child }) => child);
      const isWhole = needed.every((child) => child.external !== undefined || this.#whole.has(child.hash));
      const { hash } = node;
      if (isWhole && (this.#known.has(hash) || this.#groups.has(hash))) this.#whole.add(hash);
    }
  }

  #action(node: SpecNode): SpecAction {
    const { tags, images, force, isInstalled, isOurs } = this.#input;
    const isThere = tags.has(specTag(node)) && images.get(node.hash) !== "broken";
    if (isThere && !force) return "keep";
    if (!isInstalled(node)) return isThere ? "keep" : "not installed";
    if (isOurs(node)) return "pack";
    return isThere ? "keep" : "other shard";
  }

  #plannedLayer(node: SpecNode): PlannedLayer {
    const planned = this.#planned.get(node.hash) ?? this.#planLayer(node);
    this.#planned.set(node.hash, planned);
    return planned;
  }

  #planLayer(node: SpecNode): PlannedLayer {
    const { tags, images } = this.#input;
    if (this.#actions.get(node.hash) === "pack") return { node, from: "push" };
    const image = images.get(node.hash);
    if (image === "broken" || !tags.has(specTag(node))) return { node, from: "nowhere" };
    const layer = image?.layer ?? (this.#whole.has(node.hash) ? this.#known.get(node.hash) : undefined);
    if (layer !== undefined) return { node, from: "cache", layer, isRigid: image?.isRigid ?? false };
    this.#unread.set(node.hash, node);
    return { node, from: "nowhere" };
  }

  // A layer packed now cannot be in an image pushed earlier, unless it is packed as a repair.
  #isIncomplete(image: CachedImage, layers: readonly PlannedLayer[]): boolean {
    return layers.some((planned) => {
      if (image.joined?.has(planned.node.hash)) return false;
      if (planned.from === "cache") return !image.digests.has(planned.layer.digest);
      return planned.from === "push" && !this.#input.tags.has(specTag(planned.node));
    });
  }
}
