// Merges configuration values of two scopes as Spack does (`schema/__init__.py`, merge_yaml). Values are combined but
// never changed, so each keeps its place.
import type { Joining, YamlEntry, YamlMap, YamlNode } from "../text/yaml.ts";

/**
 * Returns `higher` merged over `lower`. Mappings merge key by key, the higher scope's keys first. Lists put the higher
 * scope's items first and drop duplicates from the lower. Anything else, null included, is replaced by the higher
 * value. In the higher scope, `override` replaces; `prepend` and `append` also join strings, and `append` adds list
 * items at the end.
 */
export function mergeNodes(lower: YamlNode | undefined, higher: YamlNode, joining: Joining = "merge"): YamlNode {
  if (lower === undefined || joining === "override") return higher;
  if (lower.kind === "list" && higher.kind === "list") {
    const taken = new Set(higher.items.map(identity));
    const rest = lower.items.filter((item) => !taken.has(identity(item)));
    return { ...higher, items: joining === "append" ? [...rest, ...higher.items] : [...higher.items, ...rest] };
  }
  if (lower.kind === "map" && higher.kind === "map") return mergeMaps(lower, higher);
  if (lower.kind === "scalar" && higher.kind === "scalar" && joining !== "merge") {
    const [a, b] = joining === "prepend" ? [higher, lower] : [lower, higher];
    if (typeof a.value === "string" && typeof b.value === "string")
      return { ...higher, value: a.value + b.value, text: a.value + b.value };
  }
  return higher;
}

function mergeMaps(lower: YamlMap, higher: YamlMap): YamlMap {
  const entries = new Map<string, YamlEntry>();
  for (const [key, entry] of higher.entries)
    entries.set(key, { ...entry, value: mergeNodes(lower.entries.get(key)?.value, entry.value, entry.joining) });
  for (const [key, entry] of lower.entries) if (!entries.has(key)) entries.set(key, entry);
  return { ...higher, entries };
}

/** A text that is equal for two values exactly if Python calls them equal: key order is ignored, and true is 1. */
function identity(node: YamlNode): string {
  if (node.kind === "list") return `[${node.items.map(identity).join(",")}]`;
  if (node.kind === "scalar")
    return typeof node.value === "boolean" ? String(Number(node.value)) : JSON.stringify(node.value);
  const keys = [...node.entries].map(([key, entry]) => `${JSON.stringify(key)}:${identity(entry.value)}`);
  return `{${keys.sort().join(",")}}`;
}
