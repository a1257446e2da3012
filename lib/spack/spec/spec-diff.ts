// Explains how two concrete specs differ: in which nodes and attributes. DAG hashes only show that they differ.

import { own } from "../text/fields.ts";
import { writeJson } from "../text/json.ts";
import { originalFormat } from "./dag-hash.ts";
import type { SpecNode } from "./node.ts";
import { flagsText, variantText } from "./spec-format.ts";
import { sortedEdges } from "./traversal.ts";

/** One attribute of one node that differs. */
export interface Difference {
  /** Package names from the root to the node. */
  readonly path: readonly string[];
  /** `version`, `variants`, `target`, `dependencies`, … */
  readonly attribute: string;
  /** The value on each side; empty if it has none. */
  readonly left: string;
  readonly right: string;
}

/** More differences than this would not help the reader. */
const LIMIT = 100;

type Attribute = readonly [name: string, text: (node: SpecNode) => string];

// Most likely reasons first.
const ATTRIBUTES: readonly Attribute[] = [
  ["spec format", (node) => String(originalFormat(node))],
  ["version", (node) => node.version],
  ["platform", (node) => node.platform],
  ["os", (node) => node.os],
  ["target", (node) => node.target],
  ["compiler", ({ compiler, format }) => (compiler && format < 5 ? `${compiler.name}@${compiler.version}` : "")],
  ["variants", (node) => (variantText(node) ?? "").trim()],
  ["flags", (node) => (flagsText(node) ?? "").trim()],
  ["namespace", (node) => node.namespace ?? ""],
  ["external", ({ external }) => (external ? (external.path ?? (external.modules.join(" ") || "modules")) : "")],
  ["patches", (node) => textOf(node, "patches")],
  // A changed recipe.
  ["package_hash", (node) => textOf(node, "package_hash")],
  ["build_spec", ({ buildSpec }) => (buildSpec ? `${buildSpec.name}/${buildSpec.hash}` : "")],
  ["dependencies", (node) => sortedEdges(node).map(edgeText).join(" ")],
];

function textOf(node: SpecNode, key: string): string {
  const value = own(node.raw, key);
  if (value === undefined) return "";
  return typeof value === "string" ? value : writeJson(value);
}

// Leaves out the child's hash: a differing child is reported by itself.
function edgeText({ child, types, virtuals }: SpecNode["edges"][number]): string {
  const kinds = ["link", "run", "build", "test"].filter((_, bit) => (types & (1 << bit)) !== 0).join(",");
  return `${child.name}(${[kinds, ...virtuals].join(" ")})`;
}

/**
 * Compares two specs node by node, nearest to the roots first, matching nodes of the same name below the same parents.
 * Returns nothing for equal hashes. If all attributes match but the hashes differ, the attribute is `hash`.
 */
export function specDifferences(left: SpecNode, right: SpecNode): Difference[] {
  const found: Difference[] = [];
  const seen = new Set<string>();
  const queue: { path: string[]; left: SpecNode; right: SpecNode }[] = [];
  const enter = (path: string[], a: SpecNode, b: SpecNode): void => {
    const key = `${a.hash} ${b.hash}`;
    if (a.hash === b.hash || seen.has(key)) return;
    seen.add(key);
    queue.push({ path, left: a, right: b });
  };
  enter([left.name], left, right);
  for (const pair of queue) {
    if (found.length >= LIMIT) break;
    found.push(...ownDifferences(pair.path, pair.left, pair.right));
    const others = Map.groupBy(sortedEdges(pair.right), (edge) => edge.child.name);
    for (const { child, types } of sortedEdges(pair.left)) {
      const same = others.get(child.name) ?? [];
      const other = same.find((edge) => edge.types === types) ?? same[0];
      if (other) enter([...pair.path, child.name], child, other.child);
    }
  }
  if (found.length === 0 && left.hash !== right.hash)
    found.push({ path: [left.name], attribute: "hash", left: left.hash, right: right.hash });
  return found;
}

function ownDifferences(path: readonly string[], left: SpecNode, right: SpecNode): Difference[] {
  const found: Difference[] = [];
  for (const [attribute, text] of ATTRIBUTES) {
    const [a, b] = [text(left), text(right)];
    if (a !== b) found.push({ path, attribute, left: a, right: b });
  }
  return found;
}
