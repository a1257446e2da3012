// Checks that Spack's answer is about the right store: variables of another store would be silently wrong, because the
// image lacks the paths they name.
import { posix } from "node:path";
import type { SpecNode } from "../spec/node.ts";
import { preOrder } from "../spec/traversal.ts";
import type { Projections } from "../store/projection.ts";
import type { EnvModification } from "./env-modifications.ts";
import { externalModifications } from "./external-environment.ts";

/** A store that a Spack is asked about. */
export interface AskedStore {
  /** The root, padding included. */
  readonly root: string;
  readonly projections: Projections;
  /** The roots of the stores whose specs count as installed there. */
  readonly upstreams: readonly string[];
}

// Recipes may name folders that every system has.
const SYSTEM = ["/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc", "/sys", "/run"];
const SYSTEM_FOLDERS = [
  ...SYSTEM,
  ...["bin", "sbin", "lib", "lib64", "share", "include"].map((name) => `/usr/${name}`),
];

/**
 * The first path that is not explained: neither in the store or its upstreams, nor in an external or a system folder.
 */
export function strayPath(
  nodes: readonly SpecNode[],
  modifications: readonly EnvModification[],
  { root, upstreams }: AskedStore,
): { name: string; path: string } | undefined {
  const externals = preOrder(nodes).filter(({ external }) => external);
  const places = [
    root,
    ...upstreams,
    ...externals.flatMap(({ external }) => external?.path?.replace(/\/+$/, "") ?? []),
    ...SYSTEM_FOLDERS,
  ];
  const written = new Set(externals.flatMap(externalModifications).flatMap(pathsOf));
  for (const modification of modifications)
    for (const path of pathsOf(modification)) {
      const isKnown = written.has(path) || places.some((place) => path === place || path.startsWith(`${place}/`));
      if (!isKnown) return { name: modification.name, path };
    }
  return undefined;
}

// Removals refer to no path.
function pathsOf(modification: EnvModification): string[] {
  const { op } = modification;
  if (op !== "set" && op !== "prepend-path" && op !== "append-path") return [];
  const { value } = modification;
  // The slashes of a URL do not start a path.
  const parts = op === "set" && !value.startsWith("/") ? [] : value.split(":");
  return parts.filter((part) => part.startsWith("/")).map((part) => posix.normalize(part));
}
