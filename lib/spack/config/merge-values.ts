// Merges configuration values of two scopes the way Spack does (`schema/__init__.py`, merge_yaml). Values are never
// changed, only combined, so each keeps the place it came from.
import type { Joining, YamlEntry, YamlMap, YamlNode } from "../text/yaml.ts";

/**
 * Returns `higher` merged over `lower`. Mappings merge key by key, the higher scope's keys first; lists put the higher
 * scope's items in front and drop those items from the lower; anything else, and null, is replaced by the higher value.
 * A key of the higher scope joined with `override` replaces; `prepend` and `append` also join strings, and `append`
 * puts list items behind.
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

/** A text that two values share exactly when Python calls them equal: key order does not count, and true is 1. */
function identity(node: YamlNode): string {
  if (node.kind === "list") return `[${node.items.map(identity).join(",")}]`;
  if (node.kind === "scalar")
    return typeof node.value === "boolean" ? String(Number(node.value)) : JSON.stringify(node.value);
  const keys = [...node.entries].map(([key, entry]) => `${JSON.stringify(key)}:${identity(entry.value)}`);
  return `{${keys.sort().join(",")}}`;
}
