// Reads the settings of an image from YAML or JSON, with comments: a file, or a part of one.
import { checkKeys } from "../spack/text/known-keys.ts";
import { checked } from "../spack/text/schema-check.ts";
import { parseYaml, type YamlNode } from "../spack/text/yaml.ts";
import { type ImageSettings, imageSettingsSchema } from "./image-settings.ts";

const KEYS: readonly string[] = Object.keys(imageSettingsSchema.shape);
const HEALTHCHECK_KEYS: readonly string[] = ["test", "interval", "timeout", "startPeriod", "startInterval", "retries"];

/** Parses a settings file. Throws as `readSettings`. */
export function parseSettings(text: string, file: string): ImageSettings {
  return readSettings(parseYaml(text, file), "image");
}

/**
 * Reads settings; `name` is that of the node in messages. Throws CONFIG_INVALID with the line; for an unknown key it
 * names the one probably meant.
 */
export function readSettings(node: YamlNode | undefined, name: string): ImageSettings {
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return {};
  checkKeys(node, KEYS);
  if (node.kind === "map") {
    const check = node.entries.get("healthcheck")?.value;
    if (check?.kind === "map") checkKeys(check, HEALTHCHECK_KEYS);
  }
  return checked(imageSettingsSchema, node, name);
}
