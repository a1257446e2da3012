// Checks whether the root of a store is too long for a cache: paths inside programs can only be replaced by shorter
// ones.
import type { CachedSpec } from "../../cache/cache.ts";
import { HASH_LENGTH } from "../../cache/spec-tag.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";

/** The length that a cache allows for roots. */
export interface RootRoom {
  /** The longest root for programs that contain their path, in characters. */
  readonly most: number;
  /** The length of the store's root. */
  readonly root: number;
}

/**
 * The length that images allow; undefined if it suffices, or if the images do not reveal where their specs were built.
 */
export function rootRoom(store: Store, images: Iterable<Pick<CachedSpec, "env" | "document">>): RootRoom | undefined {
  const root = store.root.length;
  let most = root;
  for (const { env, document } of images)
    for (const path of new Set(pathsIn(env))) {
      const node = nodeAt(path, document.graph);
      if (node !== undefined) most = Math.min(most, root - (store.prefixOf(node).length - path.length));
    }
  return most < root ? { most, root } : undefined;
}

// The prefixes of Spack's projections end in the hash. Variables contain the prefixes of a spec and its dependencies.
function nodeAt(path: string, graph: Pick<SpecGraph, "get">): SpecNode | undefined {
  if (!path.startsWith("/") || path.at(-HASH_LENGTH - 1) !== "-") return undefined;
  const node = graph.get(path.slice(-HASH_LENGTH));
  return node?.external === undefined ? node : undefined;
}

/**
 * Variables with only the paths that `rootRoom` needs: an image names hundreds of folders. `known` has each text once,
 * because images name mostly the same.
 */
export function shortEnv(
  { env, document }: Pick<CachedSpec, "env" | "document">,
  known: Map<string, string>,
): string[] {
  // Not `graph.get`, which would keep its map as long as the graph.
  const nodes = new Map(Array.from(document.graph.nodes(), (node) => [node.hash, node]));
  return [...new Set(pathsIn(env))].flatMap((path) => {
    if (nodeAt(path, nodes) === undefined) return [];
    const variable = `=${path}`;
    const same = known.get(variable);
    if (same !== undefined) return [same];
    known.set(variable, variable);
    return [variable];
  });
}

function pathsIn(env: readonly string[]): string[] {
  return env.flatMap((variable) => variable.slice(variable.indexOf("=") + 1).split(":"));
}

/** The limit as a sentence; `caches` names the origin of the images. */
export function roomText({ most, root }: RootRoom, caches: string): string {
  return `the binaries of ${caches} are not padded: to install those that contain their path, its root may have at most ${most} characters, yours has ${root}`;
}
