// `preview`: shows what relocation would change, node by node.
import { relocatable } from "../../image/archive/build-info-writer.ts";
import { previewRelocation } from "../../image/archive/relocation-preview.ts";
import { LINK, RUN, type SpecNode } from "../../spack/spec/node.ts";
import { type TreeLine, treeLines } from "../../spack/spec/traversal.ts";
import { unpaddedRoot } from "../../spack/store/padding.ts";
import type { Store } from "../../spack/store/store.ts";
import { shownName } from "../../util/byte-string.ts";
import { isGone } from "../../util/inspect-path.ts";

/** One node of the tree. */
export interface PreviewNode {
  name: string;
  version: string;
  hash: string;
  depth: number;
  status: "relocatable" | "external" | "not installed";
  prefix: string | null;
  /** Paths below the prefix, by kind; undefined if not checked. */
  binaries: string[] | undefined;
  texts: string[] | undefined;
  links: string[] | undefined;
}

/** The report of `preview`. */
export interface PreviewReport {
  root: string;
  /** The longest root, in characters, to which the binaries of this store can be relocated in place. */
  longestRoot: number;
  /** How many of these characters are padding. */
  room: number;
  nodes: PreviewNode[];
}

/** Checks the link and run closure of some specs, each prefix once. */
export function preview(store: Store, roots: readonly SpecNode[]): PreviewReport {
  const seen = new Map<string, PreviewNode>();
  const nodes: PreviewNode[] = [];
  for (const line of treeLines(roots, { types: LINK | RUN })) {
    const known = seen.get(line.node.hash);
    const made = known ? { ...known, depth: line.depth } : previewNode(store, line);
    seen.set(line.node.hash, made);
    nodes.push(made);
  }
  const { root } = store;
  return { root, longestRoot: root.length, room: root.length - unpaddedRoot(root).length, nodes };
}

function previewNode(store: Store, { node, depth }: TreeLine): PreviewNode {
  const nothing = { binaries: undefined, texts: undefined, links: undefined };
  const base = { name: node.name, version: node.version, hash: node.hash, depth };
  if (node.external) return { ...base, status: "external", prefix: node.external.path, ...nothing };
  const prefix = store.prefixOf(node);
  const directory = store.locate(prefix);
  if (!store.get(node.hash)?.installed || isGone(prefix, store.sysroot))
    return { ...base, status: "not installed", prefix, ...nothing };
  const legacy = node.format < 5;
  const job = relocatable(node, { root: store.root, prefixOf: (other) => store.prefixOf(other), legacy });
  const { binaries, texts, links } = previewRelocation({ ...job, directory });
  const shown = (names: readonly string[]) => names.map(shownName);
  return {
    ...base,
    status: "relocatable",
    prefix,
    binaries: shown(binaries),
    texts: shown(texts),
    links: shown(links),
  };
}
