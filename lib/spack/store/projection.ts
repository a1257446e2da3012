// The path of a spec in a store: projections and hash length (Spack `directory_layout.py`, `projections.py`).
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecNode } from "../spec/node.ts";
import { formatPath } from "../spec/spec-format.ts";

/** Rules of `config:install_tree:projections`: specs that satisfy the query use the format. */
export type Projections = readonly (readonly [query: string, format: string])[];

/** The default of Spack 1.x. */
export const DEFAULT_PROJECTIONS: Projections = [
  ["all", "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}"],
];

/** The default of Spack 0.22 and 0.23. */
export const LEGACY_PROJECTIONS: Projections = [
  ["all", "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}"],
];

/** How a store lays out its prefixes. */
export interface Layout {
  /** In configuration order: the first match wins, and `all` applies if none does. */
  readonly projections: Projections;
  /** `config:install_hash_length`: shortens `{hash}` in every projection; undefined for full hashes. */
  readonly hashLength: number | undefined;
}

/** Spack's default layout. */
export const DEFAULT_LAYOUT: Layout = { projections: DEFAULT_PROJECTIONS, hashLength: undefined };

/** True if a spec satisfies a query; called only for queries other than `all`. */
export type Satisfies = (node: SpecNode, query: string) => boolean;

/**
 * The path of a spec relative to the root of its store. Throws CONFIG_INVALID for a projection that leaves the store,
 * names an unknown attribute, or cannot apply the hash length. Externals have no such path.
 */
export function projectedPath(node: SpecNode, layout: Layout, satisfies?: Satisfies): string {
  const { projections, hashLength } = layout;
  const [, format] =
    projections.find(([query]) => query !== "all" && satisfies?.(node, query)) ??
    projections.find(([query]) => query === "all") ??
    [];
  if (format === undefined)
    throw new StaveError(
      "CONFIG_INVALID",
      `no projection of the install tree matches ${node.name}, and there is no default`,
      {
        hint: "add `all:` to config:install_tree:projections",
      },
    );
  return formatPath(node, withHashLength(format.toLowerCase(), hashLength));
}

function withHashLength(format: string, length: number | undefined): string {
  if (length === undefined) return format;
  if (!format.includes("{hash}"))
    throw new StaveError(
      "CONFIG_INVALID",
      `config:install_hash_length is ${length}, but the projection "${printable(format)}" has no "{hash}" to shorten`,
      { hint: "write {hash} in the projection, or remove config:install_hash_length" },
    );
  return format.replaceAll("{hash}", `{hash:${length}}`);
}
