// Checks before an image is tagged whether its programs will start over its base.
import { StaveError } from "../../errors.ts";
import type { BaseImage } from "../../image/base-image-reader.ts";
import type { ContentKind } from "../../image/content-kind.ts";
import type { ImageLayer } from "../../image/image-documents.ts";
import type { PlannedInImage, TaggedLayer } from "../../image/layer-plan.ts";
import type { FactsMemory } from "../../loader/facts-memory.ts";
import type { Finding } from "../../loader/finding.ts";
import type { LayerFacts } from "../../loader/layer-facts.ts";
import type { ImagePart } from "../../loader/packages.ts";
import { checkStart } from "../../loader/start-check.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { ReadTarget } from "../../target/target.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { readLayers } from "../image/image-facts.ts";
import type { BaseSource } from "./base-image.ts";
import { readPrefixFacts } from "./prefix-facts.ts";
import { isInstalled } from "./prepare.ts";

/** A layer of the image, with the specs in it. */
export interface SpecLayer {
  readonly nodes: readonly SpecNode[];
  readonly layer: ImageLayer;
  /** It was packed in this push, so that it has what the prefix has. */
  readonly isPacked: boolean;
}

/** The layers of planned specs: their own, by DAG hash, and those that several share. */
export function specLayers(planned: readonly PlannedInImage[], own: ReadonlyMap<string, ImageLayer>): SpecLayer[] {
  const groups = new Map<TaggedLayer, SpecNode[]>();
  const layers: SpecLayer[] = [];
  for (const each of planned) {
    const { node, from } = each;
    const layer = own.get(node.hash);
    if (layer !== undefined) layers.push({ nodes: [node], layer, isPacked: from === "push" });
    else if (each.from === "group") groups.set(each.group, [...(groups.get(each.group) ?? []), node]);
  }
  for (const [{ layer }, nodes] of groups) layers.push({ nodes, layer, isPacked: false });
  return layers;
}

/** What the check of a push needs. */
export interface PushCheck {
  readonly store: Store;
  /** Where the layers of specs are that are not installed. */
  readonly target: ReadTarget;
  readonly source: BaseSource;
  readonly memory: FactsMemory | undefined;
  readonly progress: ProgressSink | undefined;
  readonly signal: AbortSignal;
  /** The kinds of files that the layers are without. */
  readonly omit?: ((node: SpecNode) => readonly ContentKind[] | undefined) | undefined;
}

/** An image that is about to be tagged. */
export interface ImageToCheck {
  readonly base: BaseImage;
  readonly architecture: string;
  readonly layers: readonly SpecLayer[];
  readonly env: readonly string[];
  /** The layers above, which have no specs. */
  readonly extras: readonly LayerFacts[];
}

/** Checks an image. Throws what reading the base and the prefixes throws. */
export async function checkImage(image: ImageToCheck, check: PushCheck): Promise<Finding[]> {
  const { base, layers, env, architecture, extras } = image;
  const below = await readLayers(check.source.target, base.layers, check);
  const facts = [...below];
  const parts: ImagePart[] = below.map(() => ({ isBase: true, specs: [] }));
  for (const layer of layers) {
    check.signal.throwIfAborted();
    for (const part of await factsOf(layer, check)) {
      facts.push(part.facts);
      parts.push({ isBase: false, specs: part.nodes.map(({ name, version, hash }) => ({ name, version, hash })) });
    }
  }
  for (const extra of extras) {
    facts.push(extra);
    parts.push({ isBase: false, specs: [] });
  }
  return [...checkStart({ layers: facts, parts, env, architecture }).findings];
}

interface SpecFacts {
  readonly nodes: readonly SpecNode[];
  readonly facts: LayerFacts;
}

// The facts of a layer, or of each prefix in it.
async function factsOf({ nodes, layer, isPacked }: SpecLayer, check: PushCheck): Promise<SpecFacts[]> {
  const { store, memory, target } = check;
  const isPrefix = nodes.length === 1;
  const known = memory?.recall(layer.digest) ?? (isPrefix && memory?.recall(layer.digest, "prefix"));
  if (known) return [{ nodes, facts: known }];
  if (!nodes.every((node) => isInstalled(store, node))) {
    const [facts] = await readLayers(target, [layer], check);
    if (facts) return [{ nodes, facts }];
  }
  return nodes.map((node) => {
    const prefix = store.prefixOf(node);
    const facts = readPrefixFacts({ prefix, directory: store.locate(prefix), omit: check.omit?.(node) });
    // A layer that the cache had may come from another build.
    if (isPacked) memory?.remember(layer.digest, facts, "prefix");
    return { nodes: [node], facts };
  });
}

/** The error of an image that would not start; undefined if there are only warnings. */
export function startError(findings: readonly Finding[], base: string): StaveError | undefined {
  const errors = findings.filter(({ severity }) => severity === "error");
  const [first] = errors;
  if (first === undefined) return undefined;
  const others = [
    ...(first.files > 1 ? [`${first.files - 1} more file${first.files > 2 ? "s" : ""}`] : []),
    ...(errors.length > 1 ? [`${errors.length - 1} more error${errors.length > 2 ? "s" : ""}`] : []),
  ];
  const more = others.length > 0 ? ` (and ${others.join(", ")})` : "";
  const code = first.code === "LIBC_TOO_OLD" ? "LIBC_TOO_OLD" : "WILL_NOT_START";
  return new StaveError(code, `over ${base} programs would not start: ${first.message}${more}`, {
    subject: base,
    hint: `${first.fix ?? "change the base image"}, or push it all the same with \`checkRun: false\``,
  });
}
