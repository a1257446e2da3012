// Refuses unknown keys in YAML files of stave's own, with the one that was probably meant.
import { isNear } from "../../util/typo.ts";
import { configError, type YamlNode } from "./yaml.ts";

/** Throws CONFIG_INVALID for a key of a map that is not among the known ones; other nodes pass. */
export function checkKeys(node: YamlNode, known: readonly string[]): void {
  if (node.kind !== "map") return;
  for (const [key, entry] of node.entries) {
    if (known.includes(key)) continue;
    const near = known.find((other) => isNear(key.toLowerCase().replaceAll(/[-_]/g, ""), other.toLowerCase()));
    const hint = near === undefined ? `the keys are ${known.join(", ")}` : `did you mean ${near}?`;
    throw configError(entry.value.place, `the key ${JSON.stringify(key.slice(0, 80))} is unknown`, hint);
  }
}
