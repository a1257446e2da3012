// Which prefixes of an archive become which here (Spack `binary_distribution.py`, relocate_package).
import { sbangPath } from "../image/buildinfo.ts";
import type { SpecNode } from "../spack/node.ts";
import { unpaddedRoot } from "../spack/padding.ts";
import { relocationSet } from "../spack/selection.ts";
import type { BuildInfo } from "./build-info.ts";
import { PrefixMap } from "./prefix-map.ts";

/** Where things are, or will be, installed; recorded paths, without a sysroot. */
export interface Destination {
  /** The install root, padding included. */
  readonly root: string;
  /** The prefix of a spec, wherever it is: in the store, in one upstream. */
  prefixOf(node: SpecNode): string;
}

/**
 * The map for the files of one spec: `sbang` first, then the prefix of each spec that they may name, the root last, so that
 * what is above others comes after them. Throws RELOCATION_FAILED for prefixes that are no folders of their own.
 */
export function prefixMapFor(info: BuildInfo, node: SpecNode, at: Destination): PrefixMap {
  const pairs: [string, string][] = [];
  if (info.sbang !== undefined) pairs.push([info.sbang, sbangPath(at.root)]);
  for (const other of relocationSet(node)) {
    const old = info.prefixes.get(other.hash);
    if (old !== undefined) pairs.push([old, at.prefixOf(other)]);
  }
  return new PrefixMap([...pairs, [info.root, at.root]]);
}

/** The map for a tree of which only the roots are known. `sbang` stands outside the padding of a root. */
export function prefixMapOfRoots(from: string, to: string): PrefixMap {
  const isPadded = unpaddedRoot(from) !== from || unpaddedRoot(to) !== to;
  return new PrefixMap([...(isPadded ? [[sbangPath(from), sbangPath(to)] as const] : []), [from, to]]);
}
