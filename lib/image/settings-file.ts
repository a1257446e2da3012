// Reads the settings of an image from a file: YAML or JSON, with comments.

import { checkKeys } from "../spack/text/known-keys.ts";
import { checked } from "../spack/text/schema-check.ts";
import { parseYaml } from "../spack/text/yaml.ts";
import { type ImageSettings, imageSettingsSchema } from "./image-settings.ts";

const KEYS: readonly string[] = Object.keys(imageSettingsSchema.shape);
const HEALTHCHECK_KEYS: readonly string[] = ["test", "interval", "timeout", "startPeriod", "startInterval", "retries"];

/** Parses a settings file. Throws CONFIG_INVALID with the line; for an unknown key it names the one probably meant. */
export function parseSettings(text: string, file: string): ImageSettings {
  const node = parseYaml(text, file);
  if (node === undefined || (node.kind === "scalar" && node.value === null)) return {};
  checkKeys(node, KEYS);
  if (node.kind === "map") {
    const check = node.entries.get("healthcheck")?.value;
    if (check?.kind === "map") checkKeys(check, HEALTHCHECK_KEYS);
  }
  return checked(imageSettingsSchema, node, "image");
}
