// The part of the DAG around a spec: some levels of dependencies, and the edges between all of them.
import type { SpecDetails } from "../../lib/catalogue/catalogue-data.ts";
import type { SpecKey } from "../routes.ts";

/** A spec of the picture. */
export interface GraphNode extends SpecKey {
  readonly version: string;
}

/** A dependency in the picture; `types` as in the catalogue. */
export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly types: number;
}

/** What is shown. */
export interface SpecPicture {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Specs were left out because there are too many. */
  readonly isCut: boolean;
}

/** Nodes of a picture: above this number a layout takes too long, and nothing can be seen. */
export const MOST_NODES = 80;
/** The types of dependencies that a program needs to run: link and run. */
const NEEDED = 3;

/** How to collect a picture. */
export interface PictureOptions {
  readonly levels: number;
  /** Also what is only needed to build. */
  readonly hasBuild: boolean;
  readonly load: (key: SpecKey) => Promise<SpecDetails | undefined>;
}

/** Collects the specs around a root, level by level. */
export async function collectPicture(root: SpecKey, options: PictureOptions): Promise<SpecPicture> {
  const { levels, hasBuild, load } = options;
  const nodes = new Map<string, GraphNode>();
  const edges: GraphEdge[] = [];
  let isCut = false;
  let level: readonly SpecKey[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    const next = new Map<string, SpecKey>();
    const found = await Promise.all(level.map(load));
    for (const [at, key] of level.entries()) {
      const spec = found[at];
      if (depth === 0) nodes.set(key.hash, { ...key, version: spec?.version ?? "" });
      for (const [name, hash, version, types] of spec?.dependencies ?? []) {
        if (!hasBuild && (types & NEEDED) === 0) continue;
        if (!nodes.has(hash)) {
          // The last level only adds edges between what is there.
          if (depth === levels) continue;
          if (nodes.size >= MOST_NODES) {
            isCut = true;
            continue;
          }
          nodes.set(hash, { name, hash, version });
          if (version !== "") next.set(hash, { name, hash });
        }
        edges.push({ from: key.hash, to: hash, types });
      }
    }
    level = [...next.values()];
  }
  return { nodes: [...nodes.values()], edges, isCut };
}
