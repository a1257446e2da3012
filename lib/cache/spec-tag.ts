// The tags of an OCI build cache: which are binaries of specs, which is the index, and what a tag tells of a spec
// (Spack `binary_distribution.py`, _oci_default_tag).
import { isDagHash } from "../spack/spec/node-reader.ts";

/** The tag of the cache index. */
export const INDEX_TAG = "index.spack";

const SUFFIX = ".spack";
const HASH_LENGTH = 32;

/** A spec as the tag of its image names it. */
export interface TaggedSpec {
  readonly tag: string;
  /** The DAG hash. */
  readonly hash: string;
  /** The package name and version as far as a tag tells: a guess where a dash could belong to either. */
  readonly name: string;
  readonly version: string;
}

/** Reads `NAME-VERSION-HASH.spack`; undefined for any other tag. */
export function parseSpecTag(tag: string): TaggedSpec | undefined {
  if (!tag.endsWith(SUFFIX)) return undefined;
  const stem = tag.slice(0, -SUFFIX.length);
  const hash = stem.slice(-HASH_LENGTH);
  const head = stem.slice(0, -HASH_LENGTH - 1);
  if (!isDagHash(hash) || head === "" || stem.charAt(head.length) !== "-") return undefined;
  const [name, version] = splitHead(head);
  return { tag, hash, name, version };
}

/** Tells a tag that says it is of Spack, but is neither a spec's nor the index: Spack's own index update fails on it. */
export function isForeignTag(tag: string): boolean {
  return tag.endsWith(SUFFIX) && tag !== INDEX_TAG && parseSpecTag(tag) === undefined;
}

// Both names and versions may hold dashes, and parts of names may begin with a digit (`font-100dpi-1.0`). A version
// begins with a number that ends there, or is a branch; what has neither is taken after the last dash.
const VERSION = /-(?=[0-9]+(?:[._-]|$)|(?:develop|main|master|head|trunk|stable|git\.))/;

function splitHead(head: string): [name: string, version: string] {
  const found = head.search(VERSION);
  const at = found > 0 ? found : head.lastIndexOf("-");
  return at > 0 ? [head.slice(0, at), head.slice(at + 1)] : [head, ""];
}
