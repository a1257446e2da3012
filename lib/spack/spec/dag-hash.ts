// Recomputes the DAG hash of a node from its dictionary (Spack `spec.py`, spec_hash) and checks whole graphs.
import { createHash } from "node:crypto";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { own } from "../text/fields.ts";
import { isObject, writeJsonWithout } from "../text/json.ts";
import type { JsonObject } from "../text/json-value.ts";
import { descriptionsOf, withImplied } from "./microarchitecture.ts";
import type { SpecNode } from "./node.ts";
import { shortName } from "./node-reader.ts";
import { postOrder } from "./traversal.ts";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** Spack's hash of a text: sha1 in lower-case base32, 32 characters. */
export function base32Hash(text: string): string {
  return base32(createHash("sha1").update(text).digest());
}

/** Bytes in lower-case base32 without padding. */
export function base32(bytes: Uint8Array): string {
  let out = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += BASE32.charAt((held >> (bits - 5)) & 31);
    held &= (1 << bits) - 1;
  }
  return bits > 0 ? out + BASE32.charAt((held << (5 - bits)) & 31) : out;
}

/** The value of the first base32 digits of a DAG hash, five bits each. */
export function leadingDigits(hash: string, digits: number): bigint {
  let value = 0n;
  for (const letter of hash.slice(0, digits)) value = value * 32n + BigInt(BASE32.indexOf(letter));
  return value;
}

/** The first 63 bits of a DAG hash as a number: the offset of the spec's byte in Spack's prefix lock file. */
export function lockOffset(hash: string): bigint {
  return leadingDigits(hash, 13) >> 2n;
}

/** The input of a node's hash, and the hash that the node records. */
export type HashedNode = Pick<SpecNode, "hash" | "raw" | "buildSpec" | "format">;

/** The text that a node's hash covers: its dictionary as written, without `hash`. */
export function hashedText(node: HashedNode): string {
  return writeJsonWithout(node.raw, "hash");
}

/** Recomputes a node's hash. That of a spliced node ends with the last 7 characters of its build spec's hash. */
export function computeHash({ raw, buildSpec }: Pick<HashedNode, "raw" | "buildSpec">): string {
  const hash = base32Hash(writeJsonWithout(raw, "hash"));
  return buildSpec === undefined ? hash : hash.slice(0, -7) + buildSpec.hash.slice(-7);
}

// The verified hashes of frozen nodes, which the parser shares between documents.
const trueHashes = new WeakMap<JsonObject, string>();

// The computed hash if it differs from the recorded one with every known description of the target.
function contradiction(node: HashedNode): string | undefined {
  const { hash, buildSpec, raw } = node;
  if (trueHashes.get(raw) === hash) return undefined;
  const computed = computeHash(node);
  if (computed === hash) {
    if (buildSpec === undefined && Object.isFrozen(raw)) trueHashes.set(raw, hash);
    return undefined;
  }
  return otherTargets(node).some((raw) => computeHash({ raw, buildSpec }) === hash) ? undefined : computed;
}

/**
 * The dictionary that a node's hash was computed from, if another Spack release has since rewritten the target's
 * description. Otherwise, and if no known description matches, the node's own dictionary. The result does not depend on
 * which release wrote the node last.
 */
export function originalDictionary(node: HashedNode): JsonObject {
  const { raw, buildSpec, hash } = node;
  if (computeHash(node) === hash) return raw;
  return otherTargets(node).find((other) => computeHash({ raw: other, buildSpec }) === hash) ?? raw;
}

// Variants of the node with its target as other releases of Spack write it. Each release writes all targets of a file
// from its own table, or as a bare name if its table lacks them, whatever the hash was computed from. Readers only use
// the name, which stays the same.
function otherTargets({ raw }: HashedNode): JsonObject[] {
  const arch = own(raw, "arch");
  const target = isObject(arch) ? own(arch, "target") : undefined;
  const name = isObject(target) ? own(target, "name") : target;
  if (!isObject(arch) || typeof name !== "string") return [];
  return [name, ...descriptions(name)].map((described) => ({ ...raw, arch: { ...arch, target: described } }));
}

function descriptions(name: string): JsonObject[] {
  return descriptionsOf(name).flatMap(({ vendor, parents, features, generation = 0, cpupart = "" }) => {
    const named = features === "" ? [] : features.split(" ");
    return [named, withImplied(named)].flatMap((all) => {
      const described = { name, vendor, features: [...all], generation, parents: [...parents] };
      // Spack before 1.0 did not write part numbers.
      return [described, { ...described, cpupart }];
    });
  });
}

/** A node whose hash cannot be recomputed, and the reason. */
export interface Unverifiable {
  readonly node: SpecNode;
  readonly reason: string;
}

/** A node whose dictionary does not match its hash. */
export interface Mismatch {
  readonly node: SpecNode;
  readonly computed: string;
}

/** The result of a hash check; each node is in exactly one list. */
export interface HashReport {
  readonly verified: readonly SpecNode[];
  readonly unverifiable: readonly Unverifiable[];
  readonly mismatched: readonly Mismatch[];
}

/**
 * Recomputes the hash of every reachable node, dependencies first. Target descriptions of other Spack releases are
 * accepted. Pass all nodes of a graph to include the build specs of spliced nodes.
 */
export function checkHashes(roots: Iterable<SpecNode>): HashReport {
  const verified: SpecNode[] = [];
  const unverifiable: Unverifiable[] = [];
  const mismatched: Mismatch[] = [];
  for (const node of postOrder(roots)) {
    const reason = whyUnverifiable(node);
    if (reason !== undefined) {
      unverifiable.push({ node, reason });
      continue;
    }
    const computed = contradiction(node);
    if (computed === undefined) verified.push(node);
    else if (node.buildSpec !== undefined) unverifiable.push({ node, reason: "it is spliced" });
    else mismatched.push({ node, computed });
  }
  return { verified, unverifiable, mismatched };
}

/** Like `checkHashes`, but throws SPEC_INVALID for the first wrong hash, dependencies first. */
export function verifyHashes(roots: Iterable<SpecNode>, name: string): HashReport {
  const report = checkHashes(roots);
  const [wrong] = report.mismatched;
  if (wrong === undefined) return report;
  const { node, computed } = wrong;
  throw new StaveError(
    "SPEC_INVALID",
    `${printable(name)}: ${shortName(node)} has the DAG hash ${node.hash}, but its content gives ${computed}`,
    { subject: node.hash, hint: "it was modified after it was hashed; get it again from where it was built" },
  );
}

/**
 * The computed hash of a node if it differs from the recorded one; undefined if they match or it cannot be computed.
 */
export function otherHash(node: HashedNode): string | undefined {
  return isVerifiable(node) ? contradiction(node) : undefined;
}

/**
 * True if a node's content gives its hash, whatever its annotations say. False for nodes that were rewritten since, and
 * for those that only claim to have been.
 */
export function hasTrueHash(node: HashedNode): boolean {
  return node.format >= 4 && contradiction(node) === undefined;
}

/** True if the hash of a node can be recomputed from the node alone. */
export function isVerifiable(node: HashedNode): boolean {
  return whyUnverifiable(node) === undefined && node.buildSpec === undefined;
}

function whyUnverifiable(node: HashedNode): string | undefined {
  if (node.format < 4) return `it is written in spec format ${node.format}`;
  const original = originalFormat(node);
  return original < node.format ? `it was hashed in spec format ${original}, and rewritten since` : undefined;
}

/** The spec format in which a node was concretized: its annotation's, else the document's. */
export function originalFormat(node: Pick<SpecNode, "raw" | "format">): number {
  const annotations = own(node.raw, "annotations");
  const original = isObject(annotations) ? own(annotations, "original_specfile_version") : undefined;
  return typeof original === "number" ? original : node.format;
}
