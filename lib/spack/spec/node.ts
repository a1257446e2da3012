// The concrete spec as data: nodes, edges and the graph they form. Reading and writing are in spec-file.ts and
// spec-writer.ts, walking in traversal.ts.
import type { JsonObject } from "../text/json-value.ts";

/** The dependency type `link`, as a bit (Spack `deptypes.py`). */
export const LINK = 1;
/** The dependency type `run`. */
export const RUN = 2;
/** The dependency type `build`. */
export const BUILD = 4;
/** The dependency type `test`. */
export const TEST = 8;
/** Every dependency type. */
export const ALL_TYPES: number = LINK | RUN | BUILD | TEST;

/** The value of a variant: boolean, single-valued or multi-valued (Spack spec format 2 and later). */
export type VariantValue = boolean | string | readonly string[];

/** An edge of the DAG from its parent, which holds it, to `child`. */
export interface Edge {
  readonly child: SpecNode;
  /** LINK | RUN | BUILD | TEST. */
  readonly types: number;
  /** The virtual packages that the child provides to the parent. */
  readonly virtuals: readonly string[];
  /** True if the edge is marked direct (`%` in 1.x; every edge of formats before 5). */
  readonly direct: boolean;
}

/** The location of a package that Spack did not build. */
export interface External {
  readonly path: string | null;
  readonly modules: readonly string[];
  readonly extraAttributes: JsonObject;
}

/** One concrete spec. Immutable once its graph is built; shared by every DAG that contains its hash. */
export interface SpecNode {
  /** The DAG hash: 32 characters of a-z2-7. */
  readonly hash: string;
  readonly name: string;
  /** The exact version; git versions look like `git.main=1.2`. */
  readonly version: string;
  readonly namespace: string | undefined;
  readonly platform: string;
  readonly os: string;
  /** The name of the microarchitecture. */
  readonly target: string;
  readonly variants: ReadonlyMap<string, VariantValue>;
  /** Compiler flags by kind (`cflags`, …). */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly external: External | undefined;
  /** The compiler of a format-4 node, or the one in `annotations.compiler`. */
  readonly compiler: { readonly name: string; readonly version: string } | undefined;
  /** Edges in file order; the walks of traversal.ts sort them. */
  readonly edges: readonly Edge[];
  /** The spec format of the node, 1 to 5. */
  readonly format: number;
  /** The spec that was built, if this one is spliced. */
  readonly buildSpec: { readonly name: string; readonly hash: string } | undefined;
  /** The node dictionary as read, `hash` included, with key order and unknown keys. Parts may be shared and frozen. */
  readonly raw: JsonObject;
}

/** Nodes by DAG hash, each exactly once. */
export interface SpecGraph {
  get(hash: string): SpecNode | undefined;
  nodes(): Iterable<SpecNode>;
  readonly size: number;
  /** The virtuals that edges of the graph into this node list. */
  virtualsOf(node: SpecNode): ReadonlySet<string>;
}
