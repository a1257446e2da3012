// Writes spec files of format 5 as Spack does (`spec.py`, to_dict and to_node_dict). Format-5 nodes are written as
// read; older ones are converted and keep their hash.

import { own } from "../text/fields.ts";
import { isObject, keysOf, writeJson } from "../text/json.ts";
import type { JsonObject, JsonValue } from "../text/json-value.ts";
import { originalFormat } from "./dag-hash.ts";
import { BUILD, type Edge, LINK, RUN, type SpecGraph, type SpecNode, TEST } from "./node.ts";
import { NEWEST_FORMAT } from "./node-reader.ts";
import { exactVersion } from "./spec-format.ts";
import { preOrder, sortedEdges } from "./traversal.ts";

/** The text of a `spec.json`: the root first, then its dependencies in pre-order, each node once. */
export function writeSpecFile(root: SpecNode, graph: SpecGraph): string {
  return writeJson({ spec: specDocument(root, graph) });
}

/** The `spec` value of a `spec.json` or an image config. */
export function specDocument(root: SpecNode, graph: SpecGraph): JsonObject {
  const nodes = documentOrder(root, graph).map(nodeDictionary);
  return { _meta: { version: NEWEST_FORMAT }, nodes };
}

// A spliced node is followed by the nodes of its build spec in their own order; a node's first occurrence counts.
function documentOrder(root: SpecNode, graph: SpecGraph): SpecNode[] {
  const out = new Map<string, SpecNode>();
  const expanded = new Set<string>();
  const stack = [preOrder([root]).values()];
  for (let walk = stack.at(-1); walk !== undefined; walk = stack.at(-1)) {
    const { value: node } = walk.next();
    if (node === undefined) {
      stack.pop();
      continue;
    }
    if (!out.has(node.hash)) out.set(node.hash, node);
    const built = node.buildSpec === undefined ? undefined : graph.get(node.buildSpec.hash);
    if (built === undefined || expanded.has(built.hash)) continue;
    expanded.add(built.hash);
    stack.push(preOrder([built]).values());
  }
  return [...out.values()];
}

/** A node's dictionary in format 5, `hash` last: as read, or converted from an older format. */
export function nodeDictionary(node: SpecNode): JsonObject {
  if (node.format >= NEWEST_FORMAT) return node.raw;
  const { raw, external } = node;
  const edges = sortedEdges(node);
  const out: JsonObject = { name: node.name, version: node.version, arch: architecture(node) };
  if (node.namespace) out["namespace"] = node.namespace;
  out["parameters"] = parameters(node);
  if (external !== undefined)
    out["external"] = {
      path: external.path,
      module: external.modules.length > 0 ? [...external.modules] : null,
      extra_attributes: sortKeys(external.extraAttributes),
    };
  for (const key of ["patches", "package_hash"]) {
    const value = own(raw, key);
    if (value !== undefined) out[key] = value;
  }
  if (edges.length > 0) out["dependencies"] = edges.map(dependency);
  if (node.buildSpec !== undefined) out["build_spec"] = { name: node.buildSpec.name, hash: node.buildSpec.hash };
  const { compiler } = node;
  const text = compiler === undefined ? "None" : `${compiler.name}@${exactVersion(compiler.version)}`;
  out["annotations"] = { original_specfile_version: originalFormat(node), compiler: text };
  out["hash"] = node.hash;
  return out;
}

// Spack rewrites a target from archspec's table, which has fields that older files lack. Values that a table alone
// defines (features may have been added since) stay as read. Readers only use the name.
function architecture(node: SpecNode): JsonObject {
  const arch = own(node.raw, "arch");
  const described = isObject(arch) ? own(arch, "target") : undefined;
  const { platform, os } = node;
  if (!isObject(described) || own(described, "vendor") === "generic")
    return { platform, platform_os: os, target: node.target };
  const target = own(described, "cpupart") === undefined ? { ...described, cpupart: "" } : described;
  return { platform, platform_os: os, target };
}

function parameters(node: SpecNode): JsonObject {
  const variants = [...node.variants].map(([name, value]): [string, JsonValue] => [
    name,
    typeof value === "object" ? [...value].sort() : value,
  ]);
  const flags = [...node.flags].map(([name, value]): [string, JsonValue] => [name, [...value]]);
  return Object.fromEntries([...variants.sort(byKey), ...flags.sort(byKey)]);
}

const TYPES: readonly (readonly [string, number])[] = [
  ["build", BUILD],
  ["link", LINK],
  ["run", RUN],
  ["test", TEST],
];

function dependency({ child, types, virtuals, direct }: Edge): JsonObject {
  const deptypes = TYPES.filter(([, bit]) => (types & bit) !== 0).map(([name]) => name);
  const mark = direct ? { direct } : {};
  return { name: child.name, hash: child.hash, parameters: { deptypes, virtuals: [...virtuals], ...mark } };
}

function sortKeys(value: JsonObject): JsonObject {
  const entries = keysOf(value).map((key): [string, JsonValue] => {
    const member = value[key] ?? null;
    return [key, isObject(member) ? sortKeys(member) : member];
  });
  return Object.fromEntries(entries.sort(byKey));
}

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : Number(a > b);
