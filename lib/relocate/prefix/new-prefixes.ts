// Maps the prefixes in an archive to those on this machine (Spack `binary_distribution.py`, relocate_package).
import { sbangPath } from "../../image/archive/build-info-writer.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { relocationSet } from "../../spack/spec/spec-orders.ts";
import { unpaddedRoot } from "../../spack/store/padding.ts";
import type { BuildInfo } from "./build-info-reader.ts";
import { PrefixMap } from "./prefix-map.ts";

/** Where specs are, or will be, installed; recorded paths, without a sysroot. */
export interface Destination {
  /** The install root, padding included. */
  readonly root: string;
  /** The prefix of a spec, in the store or an upstream. */
  prefixOf(node: SpecNode): string;
}

/**
 * The map for the files of one spec: first `sbang`, then the prefix of each spec that they may contain, and the root
 * last, so that a parent comes after its children. Throws RELOCATION_FAILED for invalid prefixes.
 */
export function prefixMapFor(info: BuildInfo, node: SpecNode, at: Destination): PrefixMap {
  return prefixMapOf(info, { root: at.root, prefixes: newPrefixes(node, at) });
}

/** The new locations, as plain data that can be sent to other threads. */
export interface NewPrefixes {
  /** The install root, padding included. */
  readonly root: string;
  /** DAG hash and prefix of each spec that the files may contain, itself first. */
  readonly prefixes: readonly (readonly [string, string])[];
}

/** The new prefixes of a spec and of those that its files may contain. */
export function newPrefixes(node: SpecNode, at: Destination): NewPrefixes["prefixes"] {
  return relocationSet(node).map((other) => [other.hash, at.prefixOf(other)] as const);
}

/** The same map as prefixMapFor. */
export function prefixMapOf(info: BuildInfo, { root, prefixes }: NewPrefixes): PrefixMap {
  const pairs: [string, string][] = [];
  if (info.sbang !== undefined) pairs.push([info.sbang, sbangPath(root)]);
  for (const [hash, prefix] of prefixes) {
    const old = info.prefixes.get(hash);
    if (old !== undefined) pairs.push([old, prefix]);
  }
  return new PrefixMap([...pairs, [info.root, root]]);
}

/** The map for a tree of which only the roots are known. `sbang` is outside the padding of a root. */
export function prefixMapOfRoots(from: string, to: string): PrefixMap {
  const isPadded = unpaddedRoot(from) !== from || unpaddedRoot(to) !== to;
  return new PrefixMap([...(isPadded ? [[sbangPath(from), sbangPath(to)] as const] : []), [from, to]]);
}
