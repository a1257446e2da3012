// The layers of a slim image: each spec packed again without what running programs do not need. The images of single
// specs, which are installed, keep their whole layers.
import { lstatSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, StaveError } from "../../errors.ts";
import { keptEntries } from "../../image/archive/kept-walk.ts";
import type { StripTool } from "../../image/archive/strip.ts";
import { keptLayers } from "../../image/budget.ts";
import { type ContentKind, DISPENSABLE } from "../../image/content-kind.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import type { PlannedInImage, PlannedLayer, PushPlan, TaggedLayer } from "../../image/layer-plan.ts";
import { SlimRules } from "../../image/slim.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { shortName } from "../../spack/spec/spec-name.ts";
import { layerOrder } from "../../spack/spec/spec-orders.ts";
import type { Store } from "../../spack/store/store.ts";
import { fsPath } from "../../util/byte-string.ts";
import { mapLimit } from "../../util/limit.ts";
import type { PlanSettings } from "./options.ts";
import { USUAL_SHARE } from "./plan-report.ts";
import type { LayerCuts } from "./send-layer.ts";

/** The rules of a slim image; undefined for a whole one. Throws USAGE. */
export function slimRules({ image }: Pick<PlanSettings, "image">): SlimRules | undefined {
  const { slim = false, strip = false } = image ?? {};
  if (slim === false) return strip ? new SlimRules({ keep: [...DISPENSABLE] }, true) : undefined;
  return new SlimRules(slim === true ? {} : slim, strip);
}

/** What the layer of a spec is without; undefined if it is that of its own image. */
export function cutsOf(rules: SlimRules, node: SpecNode, tool: StripTool | undefined): LayerCuts | undefined {
  const omit = omitOf(rules, node);
  const strip = rules.stripsOf(node.name) ? tool : undefined;
  return omit === undefined && strip === undefined ? undefined : { omit: omit ?? [], strip };
}

/** Throws UNSUPPORTED if debug sections cannot be removed. */
export function checkStrip({ image, stripProgram }: Pick<PlanSettings, "image" | "stripProgram">): void {
  if (image?.strip !== true || stripProgram !== undefined) return;
  throw new StaveError(
    "UNSUPPORTED",
    "debug sections are removed by the program strip or eu-strip, and neither is on the PATH",
    { hint: "install binutils or elfutils, or leave out `strip`" },
  );
}

/**
 * Runs work with the tool that removes debug sections, which has a temporary folder until then; without one if nothing
 * is stripped. Throws FILE_SYSTEM if there can be no folder.
 */
export async function withStripTool<T>(
  { image, stripProgram }: Pick<PlanSettings, "image" | "stripProgram">,
  work: (tool: StripTool | undefined) => Promise<T>,
): Promise<T> {
  if (image?.strip !== true || stripProgram === undefined) return await work(undefined);
  const { program, id, scratch: parent } = stripProgram;
  const scratch = await mkdtemp(join(parent, "stave-strip-")).catch((cause: unknown) => {
    throw fileError(cause, "make a temporary folder in", parent);
  });
  try {
    return await work({ program, id, scratch });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The kinds of files that the layer of a spec is without; undefined if it is that of its own image. */
export function omitOf(rules: SlimRules, { name }: SpecNode): readonly ContentKind[] | undefined {
  const omitted = rules.omittedOf(name);
  return omitted.length === 0 ? undefined : omitted;
}

/**
 * The specs of a slim image, with the layers of the previous one that it may keep: those made by the same rules, of
 * specs that are not packed again. All others are packed, so they must be installed.
 */
export function slimPlan(
  { specs }: PushPlan,
  { roots, store }: Pick<PlanSettings, "roots" | "store">,
  previous: readonly TaggedLayer[],
): PlannedInImage[] {
  const packed = new Set(specs.flatMap(({ node, action }) => (action === "pack" ? [node.hash] : [])));
  const nodes = layerOrder(roots, !roots.some(({ format }) => format >= 5));
  const same = new Set(nodes.flatMap(({ hash }) => (packed.has(hash) ? [] : [hash])));
  const groups = new Map<string, TaggedLayer>();
  const several = previous.map((group) => ({ ids: group.hashes, group }));
  for (const { group } of keptLayers(several, same)) for (const hash of group.hashes) groups.set(hash, group);
  return nodes.map((node): PlannedInImage => {
    const group = groups.get(node.hash);
    if (group !== undefined && group.hashes.length > 1) return { node, from: "group", group };
    if (group !== undefined) return { node, from: "cache", layer: group.layer, isRigid: false };
    return { node, from: isThere(store, node) ? "push" : "nowhere" };
  });
}

const isThere = (store: Store, node: SpecNode): boolean => store.get(node.hash)?.installed === true;

/** How many layers are asked for at once; how many are packed is up to the sender. */
const CONCURRENCY = 16;

/** The slim layers of specs that are in no group, by DAG hash, and the names of specs that have none. */
export async function slimLayers(
  planned: readonly PlannedLayer[],
  send: (node: SpecNode) => Promise<ImageLayer>,
  signal: AbortSignal,
): Promise<{ own: Map<string, ImageLayer>; missing: string[] }> {
  const own = new Map<string, ImageLayer>();
  const missing: string[] = [];
  await mapLimit(
    planned,
    CONCURRENCY,
    async (each) => {
      const { node } = each;
      if (each.from === "cache") own.set(node.hash, each.layer);
      else if (each.from === "push") own.set(node.hash, await send(node));
      else missing.push(shortName(node));
    },
    signal,
  );
  return { own, missing };
}

/** The sizes in bytes that slim layers will have at most, by DAG hash, as far as the prefixes show. */
export function slimSizes(
  planned: readonly PlannedInImage[],
  { store }: Pick<PlanSettings, "store">,
  rules: SlimRules,
): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { node, from } of planned) {
    if (from !== "push") continue;
    const prefix = store.prefixOf(node);
    let bytes = 0;
    for (const { type, path } of keptEntries({ prefix, directory: store.locate(prefix), omit: omitOf(rules, node) }))
      if (type === "file") bytes += lstatSync(fsPath(path)).size;
    sizes.set(node.hash, Math.round(bytes * USUAL_SHARE));
  }
  return sizes;
}

/** The error for specs of a slim image that are not installed. */
export function notSlimmed(missing: readonly string[]): StaveError {
  const shown = missing.slice(0, 5).join(", ");
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : "";
  return new StaveError("SPEC_NOT_INSTALLED", `${shown}${more} cannot be made slim: not installed`, {
    hint: "install them, or use `allowMissing`",
  });
}

/** The warning about files that keep their debug sections. */
export function notStripped(files: readonly string[]): string {
  const shown = files.toSorted().slice(0, 5).join(", ");
  const more = files.length > 5 ? ` and ${files.length - 5} more` : "";
  return `the debug sections of ${shown}${more} stay: removing them would damage the file, or strip cannot read it`;
}
