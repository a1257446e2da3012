// Fits the layers of a tagged image into its budget.
import { StaveError } from "../../errors.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import { type ImagePart, planImage } from "../../image/image-plan.ts";
import type { PlannedInImage, TaggedLayer } from "../../image/layer-plan.ts";
import { mapLimit } from "../../util/limit.ts";
import type { LayerJoiner } from "./layer-joiner.ts";

/** How many layers are joined at once. */
const CONCURRENCY = 4;

/** What is in an image besides the layers of specs. */
export interface OtherLayers {
  /** The name of the base image. */
  readonly base: string | undefined;
  /** The number of its layers, and that of views and users. */
  readonly below: number;
  readonly other: number;
}

/** Throws BUDGET_EXCEEDED unless there is room for a layer of specs. */
export function refuseOverBudget(budget: number, { base = "", below, other }: OtherLayers): void {
  if (budget - below - other >= 1) return;
  const why = [
    ...(below > 0 ? [`the base image ${base} has ${below} already`] : []),
    ...(other > 0 ? [`views and users take ${other}`] : []),
  ].join(", and ");
  throw new StaveError("BUDGET_EXCEEDED", `the image does not fit into ${budget} layers${why && `: ${why}`}`, {
    hint: `use \`budget: ${below + other + 1}\` or more`,
  });
}

/** The layers of a tagged image before they are fitted. */
export interface LayersToFit {
  readonly planned: readonly PlannedInImage[];
  /** The layers of those specs that are in none of the groups, by DAG hash; specs without one are left out. */
  readonly own: ReadonlyMap<string, ImageLayer>;
  /** The most layers of specs. */
  readonly budget: number;
  readonly previous: readonly TaggedLayer[];
}

/** The layers of the image, dependencies first; those that were joined are in the target then. */
export async function fitLayers(
  { planned, own, budget, previous }: LayersToFit,
  joiner: LayerJoiner,
  signal: AbortSignal,
): Promise<ImageLayer[]> {
  const rigid = new Set(planned.flatMap((each) => (each.from === "cache" && each.isRigid ? [each.node.hash] : [])));
  const layers = planImage({
    planned,
    sizeOf({ node: { hash } }) {
      const layer = own.get(hash);
      return layer && { size: layer.size, isRigid: rigid.has(hash) };
    },
    budget,
    previous: unchanged(previous, planned, ({ digest }, hash) => own.get(hash)?.digest === digest),
  });
  return await joinParts(layers, own, joiner, signal);
}

/** The layers of planned parts, each joined from its own if there are several; those are in the target then. */
export async function joinParts(
  layers: readonly (readonly ImagePart[])[],
  own: ReadonlyMap<string, ImageLayer>,
  joiner: LayerJoiner,
  signal: AbortSignal,
): Promise<ImageLayer[]> {
  return await mapLimit(
    layers,
    CONCURRENCY,
    async (parts) => {
      const found = parts.flatMap((part) => part.previous?.layer ?? own.get(part.nodes[0]?.hash ?? "") ?? []);
      const [only] = found;
      return only !== undefined && found.length === 1 ? only : await joiner.join(found);
    },
    signal,
  );
}

/** The layers of the previous image that an image may keep; `isSame` decides for the layer of a single spec. */
export function unchanged(
  previous: readonly TaggedLayer[],
  planned: readonly PlannedInImage[],
  isSame: (layer: ImageLayer, hash: string) => boolean,
): TaggedLayer[] {
  const groups = new Set(planned.map((each) => (each.from === "group" ? each.group : undefined)));
  return previous.filter((tagged) => {
    const [hash] = tagged.hashes;
    const isSingle = hash !== undefined && tagged.hashes.length === 1;
    return isSingle ? isSame(tagged.layer, hash) : groups.has(tagged);
  });
}
