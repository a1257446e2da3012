// Plans which specs of a tagged image share a layer.
import { LINK, RUN, type SpecNode } from "../spack/spec/node.ts";
import { edgesOf } from "../spack/spec/traversal.ts";
import { planBudget } from "./budget.ts";
import type { PlannedInImage, TaggedLayer } from "./layer-plan.ts";

/** What is known of a spec's own layer. */
export interface LayerSize {
  readonly size: number;
  readonly isRigid: boolean;
}

/** The specs of an image whose layers are known or planned. */
export interface ImagePlanInput {
  /** In the order in which they are layered if each has a layer of its own. */
  readonly planned: readonly PlannedInImage[];
  /** The layer of a spec that is in none of the groups; undefined if the image goes without it. */
  sizeOf(planned: PlannedInImage): LayerSize | undefined;
  /** The most layers of specs. */
  readonly budget: number;
  /** The layers of the previous image that have not changed, from the bottom up. */
  readonly previous: readonly TaggedLayer[];
}

/** A part of a layer: the layer of one spec, or a layer of the previous image. */
export interface ImagePart {
  readonly nodes: readonly SpecNode[];
  /** The previous image has it as a layer. */
  readonly previous: TaggedLayer | undefined;
  readonly size: number;
}

/** The layers of an image, dependencies first, each with its parts. Throws BUDGET_EXCEEDED. */
export function planImage({ planned, sizeOf, budget, previous }: ImagePlanInput): (readonly ImagePart[])[] {
  const nodes = new Map<string, SpecNode>();
  const sizes = new Map<string, number>();
  const specs = planned.flatMap((each) => {
    const { node } = each;
    const own = each.from === "group" ? { size: 0, isRigid: false } : sizeOf(each);
    if (own === undefined) return [];
    nodes.set(node.hash, node);
    sizes.set(node.hash, own.size);
    const needs = edgesOf(node, { types: LINK | RUN }).map(({ child }) => child.hash);
    return [{ id: node.hash, name: node.name, needs, ...own }];
  });
  const byIds = new Map(previous.map((each) => [each.hashes.join(), each]));
  const layers = previous.map(({ hashes, layer }) => ({ ids: hashes, size: layer.size }));
  return planBudget({ specs, budget, previous: layers }).map((group) =>
    group.map(({ ids, isKept }) => {
      const known = isKept ? byIds.get(ids.join()) : undefined;
      return {
        nodes: ids.flatMap((id) => nodes.get(id) ?? []),
        previous: known,
        size: known?.layer.size ?? sizes.get(ids[0] ?? "") ?? 0,
      };
    }),
  );
}
