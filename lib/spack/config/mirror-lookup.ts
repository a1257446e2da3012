// Resolves a mirror named on the command line, and the mirror credentials for a registry (Spack
// `cmd/common/arguments.py` and `oci/opener.py`).
import { StaveError } from "../../errors.ts";
import { parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { wholeFile } from "../text/yaml.ts";
import type { Configuration } from "./config.ts";
import type { Variables } from "./machine.ts";
import { type Credentials, isOciUrl, Mirror, mirrors } from "./mirror.ts";

/**
 * A configured mirror by its name. A text with a slash, `.` and `..` are the URL or path of an unnamed mirror. Throws
 * USAGE.
 */
export function findMirror(text: string, config: Configuration): Mirror {
  if (/[/\\]/.test(text) || text === "." || text === "..")
    return new Mirror(text, { kind: "scalar", value: text, text, place: wholeFile("command line") }, config);
  const all = mirrors(config);
  const found = all.find(({ name }) => name === text);
  if (found) return found;
  const names = all.slice(0, 20).map(({ name }) => printable(name));
  const known = names.length === 0 ? "and none is configured" : `expected one of ${names.join(", ")}`;
  throw new StaveError("USAGE", `no mirror is named ${printable(text)}, ${known}`, {
    subject: text,
    hint: `did you mean ./${printable(text)}?`,
  });
}

/**
 * The id and secret that Spack would use for a registry, given as host and port: those of the first mirror on exactly
 * that registry with a complete pair, its push side before its fetch side.
 */
export function registryCredentials(all: readonly Mirror[], registry: string, env: Variables): Credentials["pair"] {
  for (const mirror of all)
    for (const direction of ["push", "fetch"] as const) {
      const { pair } = mirror.credentials(direction, env);
      if (pair && registryOf(mirror.url(direction)) === registry) return pair;
    }
  return undefined;
}

// The registry of an OCI URL; undefined for other URLs and invalid references.
function registryOf(url: string): string | undefined {
  if (!isOciUrl(url)) return undefined;
  try {
    const location = parseLocation(url);
    return location.kind === "registry" ? location.reference.registry : undefined;
  } catch (error) {
    if (error instanceof StaveError) return undefined;
    throw error;
  }
}
