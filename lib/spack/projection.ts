// Where in a store a spec goes: projections, hash length and padding (Spack `directory_layout.py`, `projections.py`).
import { StaveError } from "../errors.ts";
import { formatPath } from "./format.ts";
import { printable } from "./json.ts";
import type { SpecNode } from "./node.ts";

/** A rule of `config:install_tree:projections`: specs that satisfy the query go where the format says. */
export interface Projection {
  /** A query, or `all`. */
  readonly query: string;
  readonly format: string;
}

/** What Spack 1.x uses when nothing is configured. */
export const DEFAULT_PROJECTIONS: readonly Projection[] = [
  { query: "all", format: "{architecture.platform}-{architecture.target}/{name}-{version}-{hash}" },
];

/** What Spack 0.22 and 0.23 use when nothing is configured. */
export const LEGACY_PROJECTIONS: readonly Projection[] = [
  { query: "all", format: "{architecture}/{compiler.name}-{compiler.version}/{name}-{version}-{hash}" },
];

/** How a store lays out its prefixes. */
export interface Layout {
  /** In the order of the configuration: the first that matches wins, `all` when none does. */
  readonly projections: readonly Projection[];
  /** `config:install_hash_length`: shortens `{hash}` in every projection. */
  readonly hashLength?: number | undefined;
  /** Tells whether a spec satisfies a query; needed only when there is another query than `all`. */
  readonly satisfies?: (node: SpecNode, query: string) => boolean;
}

/**
 * The path of a spec below the root of its store. Throws CONFIG_INVALID for a projection that leads out of the store,
 * names what is no attribute, or cannot honour the hash length; externals have no such path.
 */
export function projectedPath(node: SpecNode, layout: Layout): string {
  const { projections, satisfies, hashLength } = layout;
  const chosen =
    projections.find(({ query }) => query !== "all" && satisfies?.(node, query)) ??
    projections.find(({ query }) => query === "all");
  if (chosen === undefined)
    throw new StaveError(
      "CONFIG_INVALID",
      `no projection of the install tree fits ${node.name}, and there is none for all`,
      {
        hint: "add `all:` to config:install_tree:projections",
      },
    );
  return formatPath(node, withHashLength(chosen.format.toLowerCase(), hashLength));
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

const FILLER = "__spack_path_placeholder__";

/**
 * The root of a padded store: `root` and filler directories, `length` characters in all; 0 means no padding. Throws
 * CONFIG_INVALID when there is no room for a filler.
 */
export function paddedRoot(root: string, length: number): string {
  if (length === 0 || length === root.length) return root;
  const room = length - root.length - 1;
  if (room < 1)
    throw new StaveError(
      "CONFIG_INVALID",
      `config:install_tree:padded_length is ${length}, but the root ${root} has ${root.length} characters already`,
      { hint: `set padded_length to ${root.length + 2} or more` },
    );
  const filler = `${FILLER}/`.repeat(Math.ceil(room / (FILLER.length + 1))).slice(0, room);
  return `${root}/${filler.endsWith("/") ? `${filler.slice(0, -1)}_` : filler}`;
}
