// Checks whether the root of a store is too long for a cache: paths inside programs can only be replaced by shorter
// ones.
import type { CachedSpec } from "../../cache/cache.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
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
    for (const path of new Set(env.flatMap((variable) => variable.replace(/^[^=]*=/, "").split(":")))) {
      const node = nodeAt(path, document.graph.get.bind(document.graph));
      if (node !== undefined && node.external === undefined)
        most = Math.min(most, root - (store.prefixOf(node).length - path.length));
    }
  return most < root ? { most, root } : undefined;
}

// The prefixes of Spack's projections end in the hash. Variables contain the prefixes of a spec and its dependencies.
function nodeAt(path: string, nodeOf: (hash: string) => SpecNode | undefined): SpecNode | undefined {
  const hash = path.startsWith("/") ? /-([a-z2-7]{32})$/.exec(path)?.[1] : undefined;
  return hash === undefined ? undefined : nodeOf(hash);
}

/** The limit as a sentence; `caches` names the origin of the images. */
export function roomText({ most, root }: RootRoom, caches: string): string {
  return `the binaries of ${caches} are not padded: to install those that contain their path, its root may have at most ${most} characters, yours has ${root}`;
}
