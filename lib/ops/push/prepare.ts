// Prepares a push: selects specs, reads the cache, asks Spack, and plans. Writes nothing.
import { isUnfit } from "../../cache/unusable.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import type { BaseImage } from "../../image/base-image-reader.ts";
import { checkSettings } from "../../image/image-settings.ts";
import {
  type CachedImage,
  type PlannedSpec,
  type PushPlan,
  planPush,
  type TaggedLayer,
} from "../../image/layer-plan.ts";
import { type Compression, layerMediaType } from "../../image/pack/compression.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { layerTypeIn, type MediaFamily } from "../../oci/mediatype.ts";
import type { AskOptions, SpackAnswer as SpackAnswerToAll } from "../../spack/environment/ask-spack.ts";
import { askFoundSpack, askSpack, isFoundSpack } from "../../spack/environment/ask-spack.ts";
import type { EnvModification } from "../../spack/environment/env-modifications.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { goArchitectureOf, shortName, specTag } from "../../spack/spec/spec-name.ts";
import { pushOrder } from "../../spack/spec/spec-orders.ts";
import type { Store } from "../../spack/store/store.ts";
import { DOCUMENTS_AT_ONCE } from "../../target/target.ts";
import { forEachLimit } from "../../util/limit.ts";
import { readEnvironmentImage } from "../image/tagged-image.ts";
import { BaseImages } from "./base-image.ts";
import { refuseOverBudget } from "./fit-layers.ts";
import { extraLayerCount, type ImageExtras, makeExtras } from "./image-extras.ts";
import { ImageEnvironment } from "./image-variables.ts";
import type { PlanSettings } from "./options.ts";
import { isInShard } from "./shard.ts";
import { checkStrip, slimPlan, slimRules } from "./slim-layers.ts";
import { labelOf } from "./spec-config.ts";

/** What is known before anything is written. */
export interface PreparedPush {
  readonly plan: PushPlan;
  /** Build dependencies that were left out because they are not installed. */
  readonly leftOut: readonly SpecNode[];
  /** Specs that were left out because they must not be redistributed. */
  readonly restricted: readonly SpecNode[];
  /** The base images, and those that the plan needs, by Go architecture. */
  readonly bases: BaseImages | undefined;
  readonly base: ReadonlyMap<string, BaseImage>;
  /** The digests of existing environment images, by tag. */
  readonly tagged: ReadonlyMap<string, Digest>;
  /** Their layers. */
  readonly previous: readonly TaggedLayer[];
  /** The manifests of images of the cache whose layers may be in new images, by tag. */
  readonly used: ReadonlyMap<string, Descriptor>;
  /** The cache had no tags, so it probably has no blobs. */
  readonly isNewCache: boolean;
  readonly spack: SpackAnswer | undefined;
  /** What the tagged image has besides the layers of its specs; undefined without one. */
  readonly extras: ImageExtras | undefined;
}

/** What Spack reported. */
export interface SpackAnswer {
  readonly version: string;
  /** The variables of each image to create: by the DAG hash of its spec, and for the environment. */
  readonly bySpec: ReadonlyMap<string, readonly EnvModification[]>;
  readonly environment: readonly EnvModification[] | undefined;
}

/** Prepares a push. Throws what the cache and the base image throw; only a definite "not found" counts as absent. */
export async function preparePush(options: PlanSettings, signal: AbortSignal): Promise<PreparedPush> {
  const { tags, store } = options;
  if (tags.length > 0) checkOneArchitecture(options.roots);
  const selection = selectSpecs(options);
  const cache = await readCache(options, signal);
  let selected = selection.nodes;
  let plan = await completePlan(options, selected, cache, signal);
  const says = options.spack && (await askAbout(options, plan, signal));
  const restricted = selected.filter(({ hash }) => says?.restricted.has(hash) === true);
  if (restricted.length > 0) {
    selected = selected.filter((node) => !restricted.includes(node));
    plan = await completePlan(options, selected, cache, signal);
  }
  const bases = options.base && new BaseImages({ ...progressOf(options), source: options.base, signal });
  const base = await readBases(bases, plan, options, signal);
  if (tags.length > 0) {
    const [first] = options.roots;
    const below = (first && base.get(goArchitectureOf(first))?.layers.length) ?? 0;
    refuseOverBudget(options.budget, { base: options.base?.name, below, other: extraLayerCount(options) });
  }
  if (options.image !== undefined && tags.length === 0)
    throw new StaveError("USAGE", "settings of images apply to the tagged image, and no tag is named", {
      hint: "add `tags`",
    });
  if (options.image !== undefined) checkSettings(options.image, familyOf(options, base));
  checkStrip(options);
  if (options.image?.estargz && options.compression.method !== "gzip")
    throw new StaveError("UNSUPPORTED", "eStargz layers are compressed by gzip", {
      hint: "use `compression: gzip`, or leave out `estargz`",
    });
  if (options.failFast) refuseAbsent(plan, store);
  const [root] = options.roots;
  const extras =
    tags.length > 0 && root ? await makeExtras(options, base.get(goArchitectureOf(root)), signal) : undefined;
  const { tagged, used, isNew: isNewCache } = cache;
  const rules = tags.length > 0 ? slimRules(options) : undefined;
  const previous = cache.previous.filter(({ slim, isLazy }) => slim === rules?.id && !isLazy);
  if (rules !== undefined) plan = { ...plan, environment: slimPlan(plan, options, previous) };
  const { leftOut } = selection;
  return { plan, leftOut, restricted, bases, base, tagged, previous, used, isNewCache, spack: says, extras };
}

const progressOf = ({ progress }: PlanSettings): { progress: NonNullable<PlanSettings["progress"]> } => ({
  progress: progress ?? (() => {}),
});

/** True if a spec can be packed: it is installed and not external. */
export function isInstalled(store: Store, node: SpecNode): boolean {
  return node.external === undefined && store.get(node.hash)?.installed === true;
}

function checkOneArchitecture(roots: readonly SpecNode[]): void {
  const all = [...new Set(roots.map(goArchitectureOf))];
  if (all.length <= 1) return;
  throw new StaveError(
    "PLATFORM_MISMATCH",
    `an image has one architecture, but the specs are for ${all.join(" and ")}`,
    {
      hint: "push the specs of each architecture separately, with their own `tags`",
    },
  );
}

/** The specs to push, each before those that need it, and the build dependencies that are left out. */
export function selectSpecs({
  roots,
  only,
  buildDependencies,
  store,
}: Pick<PlanSettings, "roots" | "only" | "buildDependencies" | "store">): { nodes: SpecNode[]; leftOut: SpecNode[] } {
  const all = pushOrder(roots, { only, withoutBuildDependencies: buildDependencies === "without" });
  if (buildDependencies !== "where installed") return { nodes: all, leftOut: [] };
  const needed = new Set(pushOrder(roots, { withoutBuildDependencies: true }).map(({ hash }) => hash));
  const isWanted = (node: SpecNode): boolean => needed.has(node.hash) || isInstalled(store, node);
  return { nodes: all.filter(isWanted), leftOut: all.filter((node) => !isWanted(node)) };
}

interface CacheState {
  /** The manifests of images whose layers may be used, by tag. */
  readonly used: Map<string, Descriptor>;
  readonly tags: Set<string>;
  readonly images: Map<string, CachedImage | "broken">;
  readonly tagged: Map<string, Digest>;
  readonly previous: TaggedLayer[];
  isNew: boolean;
}

async function readCache(options: PlanSettings, signal: AbortSignal): Promise<CacheState> {
  const { cache, target, force, sign } = options;
  const state: CacheState = {
    used: new Map(),
    tags: new Set(),
    images: new Map(),
    tagged: new Map(),
    previous: [],
    isNew: false,
  };
  const others = new Set<string>();
  try {
    const listing = await cache.list({ signal });
    for (const tag of listing.specs.keys()) state.tags.add(tag);
    for (const tag of listing.others) others.add(tag);
    state.isNew = state.tags.size === 0 && others.size === 0 && listing.foreign.length === 0;
  } catch (error) {
    // A repository is created by the first push to it.
    if (!isStaveError(error, "NOT_FOUND")) throw error;
    state.isNew = true;
  }
  const readTagged = async (tag: string): Promise<void> => {
    try {
      const { digest, layers } = await readEnvironmentImage(target, tag, { signal });
      state.tagged.set(tag, digest);
      // A signature vouches for every layer, and anyone may have made these.
      if (!force && sign === undefined) state.previous.push(...layers);
    } catch (error) {
      if (!isUnfit(error)) throw error;
    }
  };
  await forEachLimit(
    options.tags.filter((tag) => others.has(tag)),
    DOCUMENTS_AT_ONCE,
    readTagged,
    signal,
  );
  return state;
}

// Reads images until the plan is complete: a broken one is packed again, and then needs the images of its
// dependencies.
async function completePlan(
  options: PlanSettings,
  selected: readonly SpecNode[],
  state: CacheState,
  signal: AbortSignal,
): Promise<PushPlan> {
  const { store, force, verify, tags, shard, roots, cache } = options;
  const input = {
    roots,
    selected,
    force,
    verify,
    isInstalled: (node: SpecNode) => isInstalled(store, node),
    isOurs: (node: SpecNode) => isInShard(node, shard),
    // The specs of a slim image are packed for it alone.
    wantsEnvironment: tags.length > 0 && slimRules(options) === undefined,
    tags: state.tags,
    images: state.images,
    tagged: state.previous.filter(({ slim, isLazy }) => slim === undefined && !isLazy),
  };
  const isKnown = (hash: string): boolean => store.database.graph.get(hash) !== undefined;
  const read = async (node: SpecNode): Promise<void> => {
    try {
      const image = await cache.fetchSpec(specTag(node), { signal, isKnown });
      const { archive, diffId, layers, archivedAt, joined, manifest } = image;
      state.used.set(specTag(node), manifest);
      const { mediaType, digest, size } = archive;
      const layer = { mediaType, digest, size, diffId, label: labelOf(node) };
      const digests = new Set(layers.map((each) => each.digest));
      // Spack writes the time and makes layers of one gzip member; zstd and gzip cannot be in one layer.
      const isRigid = archivedAt !== undefined || !sameMethod(mediaType, options.compression);
      state.images.set(node.hash, { layer, digests, joined: new Set(joined), isRigid });
    } catch (error) {
      if (!isUnfit(error)) throw error;
      state.images.set(node.hash, "broken");
    }
  };
  for (;;) {
    const plan = planPush(input);
    if (plan.unread.length === 0) return plan;
    await forEachLimit(plan.unread, DOCUMENTS_AT_ONCE, read, signal);
  }
}

/** True if an image is created for a spec. */
export function isMade({ action }: PlannedSpec): boolean {
  return action === "pack" || action === "complete";
}

async function askAbout(
  options: PlanSettings,
  plan: PushPlan,
  signal: AbortSignal,
): Promise<(SpackAnswer & { restricted: ReadonlySet<string> }) | undefined> {
  if (options.spack === undefined) return undefined;
  const made = plan.specs.filter(isMade).map(({ node }) => node);
  // Only installed ones: Spack does not know the others.
  const isKnown = (node: SpecNode): boolean => isInstalled(options.store, node);
  const roots = options.tags.length === 0 ? [] : [options.roots.filter(isKnown)];
  if (made.length === 0 && roots.length === 0) return undefined;
  const known = made.filter(isKnown);
  const sets = [...known.map((node) => [node]), ...roots];
  const answer = isFoundSpack(options.spack)
    ? await askIfNeeded(options, options.spack, sets, signal)
    : await askSpack({ environments: sets, specs: options.private ? [] : known }, { ...options.spack, signal });
  if (answer === undefined) return undefined;
  const { version, environments, restricted } = answer;
  const bySpec = new Map(known.map((node, at) => [node.hash, environments[at] ?? []]));
  return { version, bySpec, environment: environments[known.length], restricted };
}

// Recipes are read first: starting Spack takes longer than most pushes that change nothing.
async function askIfNeeded(
  { store, environment, progress }: PlanSettings,
  spack: AskOptions,
  sets: readonly (readonly SpecNode[])[],
  signal: AbortSignal,
): Promise<SpackAnswerToAll | undefined> {
  const read = new ImageEnvironment(store, environment);
  for (const nodes of sets) read.of(nodes, undefined, undefined);
  if (read.notUnderstood.length === 0) return undefined;
  const onWarning = (text: string): void => progress?.({ type: "warning", text });
  return await askFoundSpack({ environments: sets, specs: [] }, { ...spack, signal }, onWarning);
}

async function readBases(
  bases: BaseImages | undefined,
  plan: PushPlan,
  options: PlanSettings,
  signal: AbortSignal,
): Promise<Map<string, BaseImage>> {
  const found = new Map<string, BaseImage>();
  if (bases === undefined) return found;
  const nodes = plan.specs.filter(isMade).map(({ node }) => node);
  if (options.tags.length > 0) nodes.push(...options.roots.slice(0, 1));
  await forEachLimit(
    new Set(nodes.map(goArchitectureOf)),
    DOCUMENTS_AT_ONCE,
    async (architecture) => {
      const base = await bases.read(architecture);
      const type = layerMediaType(options.compression);
      if (layerTypeIn(base.family, type) === undefined)
        throw new StaveError(
          "UNSUPPORTED",
          `layers of type ${type} cannot be added to ${options.base?.name ?? ""}, which has ${base.family} media types`,
          {
            hint: "use `compression: gzip`, or a base image with OCI media types",
          },
        );
      found.set(architecture, base);
    },
    signal,
  );
  return found;
}

function sameMethod(mediaType: string, compression: Compression): boolean {
  return layerTypeIn("oci", mediaType) === layerMediaType(compression);
}

/** How many layers of specs the image of a spec may have. */
export function specBudget(
  { budget }: Pick<PlanSettings, "budget">,
  base: ReadonlyMap<string, BaseImage>,
  node: SpecNode | undefined,
): number {
  const below = node === undefined ? undefined : base.get(goArchitectureOf(node));
  return budget - (below?.layers.length ?? 0);
}

/** How many layers of specs the tagged image may have. */
export function imageBudget(options: PlanSettings, base: ReadonlyMap<string, BaseImage>): number {
  return specBudget(options, base, options.roots[0]) - extraLayerCount(options);
}

/**
 * The specs of a plan, each after those whose layers it needs, otherwise in the plan's order. Goes by these layers and
 * not by the graph: specs may come from documents that contradict each other, and would then wait for later ones.
 */
export function dependenciesFirst({ specs }: PushPlan): PlannedSpec[] {
  const pending = new Map(specs.map((planned) => [planned.node.hash, planned]));
  const ordered: PlannedSpec[] = [];
  for (const first of specs) {
    const stack = pending.delete(first.node.hash) ? [{ planned: first, next: 0 }] : [];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const layer = top.planned.layers[top.next++];
      const below = layer && pending.get(layer.node.hash);
      if (below !== undefined) {
        pending.delete(below.node.hash);
        stack.push({ planned: below, next: 0 });
      } else if (layer === undefined) {
        stack.pop();
        ordered.push(top.planned);
      }
    }
  }
  return ordered;
}

/** True if the image of a spec has more layers than the budget allows, and can have fewer. */
export function isOverBudget({ node, layers }: PlannedSpec, options: PlanSettings, { base }: PreparedPush): boolean {
  const budget = specBudget(options, base, node);
  // Two are the fewest: those of the dependencies, and its own.
  return budget >= 2 && layers.length > budget;
}

function familyOf({ roots }: PlanSettings, base: ReadonlyMap<string, BaseImage>): MediaFamily {
  const [first] = roots;
  return (first && base.get(goArchitectureOf(first))?.family) ?? "oci";
}

function refuseAbsent(plan: PushPlan, store: Store): void {
  const absent = plan.specs.filter(({ action }) => action === "not installed").map(({ node }) => node);
  if (absent.length === 0) return;
  throw notInstalled(absent, store);
}

/** The error for specs that cannot be packed. */
export function notInstalled(nodes: readonly SpecNode[], store: Store): StaveError {
  const names = nodes.slice(0, 10).map(shortName).join(", ");
  const more = nodes.length > 10 ? ` and ${nodes.length - 10} more` : "";
  return new StaveError("SPEC_NOT_INSTALLED", `${names}${more} cannot be pushed: not installed in ${store.root}`, {
    subject: nodes[0]?.hash ?? store.root,
    hint: "install them first, or push without them: `only: package`, `buildDependencies: without`",
  });
}
