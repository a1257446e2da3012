// The tags of an OCI build cache: which are binaries of specs, which is the index, and what a tag says about a spec
// (Spack `binary_distribution.py`, _oci_default_tag).
import { algorithmOf, type Digest, hexOf } from "../oci/digest.ts";
import { isDagHash } from "../spack/spec/node-reader.ts";

/** The tag of the cache index. */
export const INDEX_TAG = "index.spack";

const SUFFIX = ".spack";
/** The length of a DAG hash. */
export const HASH_LENGTH = 32;

/** The spec that a tag names. */
export interface TaggedSpec {
  readonly tag: string;
  /** The DAG hash. */
  readonly hash: string;
  /** The package name and version, as far as the tag reveals them: a guess if a dash could belong to either. */
  readonly name: string;
  readonly version: string;
}

/** Parses `NAME-VERSION-HASH.spack`; undefined for any other tag. */
export function parseSpecTag(tag: string): TaggedSpec | undefined {
  if (!tag.endsWith(SUFFIX)) return undefined;
  const stem = tag.slice(0, -SUFFIX.length);
  const hash = stem.slice(-HASH_LENGTH);
  const head = stem.slice(0, -HASH_LENGTH - 1);
  if (!isDagHash(hash) || head === "" || stem.charAt(head.length) !== "-") return undefined;
  const [name, version] = splitHead(head);
  return { tag, hash, name, version };
}

/** True for a tag with Spack's suffix that is neither a spec's nor the index: Spack's own index update fails on it. */
export function isForeignTag(tag: string): boolean {
  return tag.endsWith(SUFFIX) && tag !== INDEX_TAG && parseSpecTag(tag) === undefined;
}

// Both names and versions may contain dashes, and parts of names may start with a digit (`font-100dpi-1.0`). A version
// starts with a complete number or is a branch name; otherwise the text after the last dash is taken.
const VERSION = /-(?=[0-9]+(?:[._-]|$)|(?:develop|main|master|head|trunk|stable|git\.))/;

function splitHead(head: string): [name: string, version: string] {
  const found = head.search(VERSION);
  const at = found > 0 ? found : head.lastIndexOf("-");
  return at > 0 ? [head.slice(0, at), head.slice(at + 1)] : [head, ""];
}

// Signatures and the like in registries without the referrers API (OCI distribution 1.1, "Referrers Tag Schema"), and
// in the form of cosign 2.
const ATTACHMENT = /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64})(?:\.(?:sig|att|sbom))?$/;

/** True for a tag under which clients keep what is attached to an image. */
export function isAttachmentTag(tag: string): boolean {
  return ATTACHMENT.test(tag);
}

/** The tags under which clients keep what is attached to an image. */
export function attachmentTags(digest: Digest): string[] {
  const tag = `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`;
  return [tag, `${tag}.sig`, `${tag}.att`, `${tag}.sbom`];
}
