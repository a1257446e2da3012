// The store that a Spack is asked about, and whether its answer is about that store: variables of another one would be wrong
// without a sign of it, because nothing that they name is in the image.
import { posix } from "node:path";
import type { SpecNode } from "../spec/node.ts";
import { preOrder } from "../spec/traversal.ts";
import type { Projections } from "../store/projection.ts";
import type { EnvModification } from "./env-modifications.ts";
import { externalModifications } from "./external-environment.ts";

/** A store that a Spack is asked about. */
export interface AskedStore {
  /** With its padding. */
  readonly root: string;
  readonly projections: Projections;
  /** The roots of the stores whose specs count as installed there. */
  readonly upstreams: readonly string[];
}

// A recipe may name what every system has.
const SYSTEM = ["/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc", "/sys", "/run"];
const SYSTEM_FOLDERS = [
  ...SYSTEM,
  ...["bin", "sbin", "lib", "lib64", "share", "include"].map((name) => `/usr/${name}`),
];

/** The first path that specs of the store do not explain: neither below it nor upstream, nor in an external or a system folder. */
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

// What removes a path leads nowhere.
function pathsOf(modification: EnvModification): string[] {
  const { op } = modification;
  if (op !== "set" && op !== "prepend-path" && op !== "append-path") return [];
  const { value } = modification;
  // The slashes of a URL begin no path.
  const parts = op === "set" && !value.startsWith("/") ? [] : value.split(":");
  return parts.filter((part) => part.startsWith("/")).map((part) => posix.normalize(part));
}
