// Writes `.spack/binary_distribution`, the last file of every archive: what an installation needs to relocate it (Spack
// `binary_distribution.py`, get_buildinfo_dict). Its text is part of the archive's digest.
import { posix } from "node:path";
import type { SpecNode } from "../../spack/spec/node.ts";
import { relocationSet } from "../../spack/spec/spec-orders.ts";
import { preOrder } from "../../spack/spec/traversal.ts";
import { unpaddedRoot } from "../../spack/store/padding.ts";
import { type FlowValue, writeFlowYaml } from "../../spack/text/flow-yaml-writer.ts";
import { type ByteString, pythonText } from "../../util/byte-string.ts";

/** What is known of a spec before its files are read. Plain data, because it is sent to other threads. */
export interface Relocatable {
  /** The install root, padding included. */
  readonly root: string;
  /** The prefix of the spec. */
  readonly prefix: string;
  /** The directory of the Spack that installed it. */
  readonly spackPrefix: string;
  /** DAG hash and prefix of each spec whose prefix its files may contain, in Spack's order, itself first. */
  readonly hashToPrefix: readonly (readonly [string, string])[];
  /** Text files that contain one of these prefixes need relocation. */
  readonly mentioned: readonly string[];
  /** Writes the format of Spack before 1.0. */
  readonly legacy: boolean;
}

/** The paths of an installation. */
export interface Installation {
  /** The install root, padding included. */
  readonly root: string;
  /** The prefix of an installed spec. */
  prefixOf(node: SpecNode): string;
  /** Spack's own directory, if known; see spackPrefixOf. */
  readonly spackPrefix?: string | undefined;
  /** The store was written by Spack before 1.0, so its archives are classified and written in that format. */
  readonly legacy?: boolean | undefined;
}

/** Collects what the archive of a spec says about relocation. */
export function relocatable(node: SpecNode, at: Installation): Relocatable {
  const legacy = at.legacy ?? false;
  const set = relocationSet(node, legacy);
  const mentioned = legacy ? preOrder([node]).filter((other) => other.external === undefined) : set;
  return {
    root: at.root,
    prefix: at.prefixOf(node),
    spackPrefix: at.spackPrefix ?? spackPrefixOf(at.root),
    hashToPrefix: set.map((other) => [other.hash, at.prefixOf(other)] as const),
    mentioned: [...mentioned.map((other) => at.prefixOf(other)), sbangPath(at.root), at.root],
    legacy,
  };
}

/**
 * Guesses the directory of the Spack that owns a store, which no file of the store records: `X` for a root
 * `X/opt/spack`, otherwise the root itself.
 */
export function spackPrefixOf(root: string): string {
  const unpadded = unpaddedRoot(root);
  return unpadded.endsWith("/opt/spack") && unpadded !== "/opt/spack" ? unpadded.slice(0, -"/opt/spack".length) : root;
}

/** The path of Spack's `sbang` script; never below the padding. */
export function sbangPath(root: string): string {
  return `${unpaddedRoot(root)}/bin/sbang`;
}

/** The files of a prefix that need relocation, as paths relative to it. */
export interface RelocatableFiles {
  readonly binaries: readonly ByteString[];
  readonly links: readonly ByteString[];
  readonly texts: readonly ByteString[];
}

/** The bytes of the file. Lists keep the given order; Spack before 1.0 sorts them and orders the keys differently. */
export function writeBuildInfo(spec: Relocatable, files: RelocatableFiles): Buffer {
  const before: [string, FlowValue][] = [
    ["sbang_install_path", sbangPath(spec.root)],
    ["buildpath", spec.root],
    ["spackprefix", spec.spackPrefix],
    ["relative_prefix", posix.relative(spec.root, spec.prefix)],
  ];
  const hashes: [string, FlowValue][] = [
    ["hardlinks_deduped", true],
    ["hash_to_prefix", new Map(spec.hashToPrefix)],
  ];
  const binaries: [string, FlowValue] = ["relocate_binaries", files.binaries.map(pythonText)];
  const links: [string, FlowValue] = ["relocate_links", files.links.map(pythonText)];
  const texts: [string, FlowValue] = ["relocate_textfiles", files.texts.map(pythonText)];
  const all = spec.legacy
    ? [...before, texts, binaries, links, ...hashes]
    : [...before, ...hashes, binaries, links, texts];
  return Buffer.from(writeFlowYaml(new Map(all)), "utf8");
}
