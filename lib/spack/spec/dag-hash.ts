// The DAG hash of a node, recomputed from its dictionary (Spack `spec.py`, spec_hash), and the check of a whole graph.
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

/** The number that the first digits of a DAG hash make, five bits each. */
export function leadingDigits(hash: string, digits: number): bigint {
  let value = 0n;
  for (const letter of hash.slice(0, digits)) value = value * 32n + BigInt(BASE32.indexOf(letter));
  return value;
}

/**
 * The first 63 bits of a DAG hash, as a number: the byte that stands for the spec in Spack's prefix lock file.
 */
export function lockOffset(hash: string): bigint {
  return leadingDigits(hash, 13) >> 2n;
}

/** What a hash is computed from, and the hash that a node says it has. */
export type HashedNode = Pick<SpecNode, "hash" | "raw" | "buildSpec" | "format">;

/** The text that a node's hash is over: its dictionary as it was written, without `hash`. */
export function hashedText(node: HashedNode): string {
  return writeJsonWithout(node.raw, "hash");
}

/** Recomputes a node's hash; a spliced node ends with the last 7 characters of what was really built. */
export function computeHash({ raw, buildSpec }: Pick<HashedNode, "raw" | "buildSpec">): string {
  const hash = base32Hash(writeJsonWithout(raw, "hash"));
  return buildSpec === undefined ? hash : hash.slice(0, -7) + buildSpec.hash.slice(-7);
}

// The hash that the node's dictionary gives, when it is another than the node says with every description of its target.
function contradiction(node: HashedNode): string | undefined {
  const { hash, buildSpec } = node;
  const computed = computeHash(node);
  if (computed === hash) return undefined;
  return otherTargets(node).some((raw) => computeHash({ raw, buildSpec }) === hash) ? undefined : computed;
}

/**
 * The dictionary that a node's hash was made of, where another release of Spack has described the target anew since; its
 * dictionary as it is when that gives the hash, or when none does. It is one whoever wrote the node last.
 */
export function originalDictionary(node: HashedNode): JsonObject {
  const { raw, buildSpec, hash } = node;
  if (computeHash(node) === hash) return raw;
  return otherTargets(node).find((other) => computeHash({ raw: other, buildSpec }) === hash) ?? raw;
}

// The node with its target as other releases of Spack write it: each writes all targets of a file from its own table, or
// as a name alone when its table lacks them, whatever the hash was made of. Readers use the name only, which stays.
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
      // Spack before 1.0 had no part numbers.
      return [described, { ...described, cpupart }];
    });
  });
}

/** A node whose hash cannot be recomputed, and why. */
export interface Unverifiable {
  readonly node: SpecNode;
  readonly reason: string;
}

/** A node whose dictionary does not give its hash. */
export interface Mismatch {
  readonly node: SpecNode;
  readonly computed: string;
}

/** What a check of hashes found; each node is in one of the lists. */
export interface HashReport {
  readonly verified: readonly SpecNode[];
  readonly unverifiable: readonly Unverifiable[];
  readonly mismatched: readonly Mismatch[];
}

/**
 * Recomputes the hash of every node that can be reached, dependencies first; targets may be described as by another
 * release of Spack. Give all nodes of a graph to check also what spliced nodes were built as.
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

/** As `checkHashes`, but throws SPEC_INVALID for the first node, dependencies first, whose hash is a lie. */
export function verifyHashes(roots: Iterable<SpecNode>, name: string): HashReport {
  const report = checkHashes(roots);
  const [wrong] = report.mismatched;
  if (wrong === undefined) return report;
  const { node, computed } = wrong;
  throw new StaveError(
    "SPEC_INVALID",
    `${printable(name)}: ${shortName(node)} has the DAG hash ${node.hash}, but its content gives ${computed}`,
    { subject: node.hash, hint: "it was changed after it was hashed; get it again from where it was built" },
  );
}

/** The hash that a node's dictionary gives, when it can be told and is another than the node says; undefined otherwise. */
export function otherHash(node: HashedNode): string | undefined {
  if (whyUnverifiable(node) !== undefined || node.buildSpec !== undefined) return undefined;
  return contradiction(node);
}

function whyUnverifiable(node: HashedNode): string | undefined {
  if (node.format < 4) return `it is written in spec format ${node.format}`;
  const original = originalFormat(node);
  return original < node.format ? `it was hashed in spec format ${original}, and written again since` : undefined;
}

/** The spec format that a node was concretised in: that of its annotation, else that of its document. */
export function originalFormat(node: Pick<SpecNode, "raw" | "format">): number {
  const annotations = own(node.raw, "annotations");
  const original = isObject(annotations) ? own(annotations, "original_specfile_version") : undefined;
  return typeof original === "number" ? original : node.format;
}
