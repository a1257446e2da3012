// Parses the registry argument of `login` and `logout`: a host, with or without a scheme.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { withoutTrailing } from "../../util/without-trailing.ts";

const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$/;
const SCHEMES: Record<string, "https" | "http" | undefined> = {
  "oci://": undefined,
  "https://": "https",
  "oci+http://": "http",
  "http://": "http",
};

/** Parses `HOST[:PORT]`, with or without a scheme. Throws USAGE for anything else, such as a whole image name. */
export function registryArgument(text: string): { registry: string; scheme: "https" | "http" | undefined } {
  const prefix = Object.keys(SCHEMES).find((start) => text.startsWith(start));
  const registry = withoutTrailing(text.slice(prefix?.length ?? 0), "/");
  if (registry.length > 255 || !HOST.test(registry))
    throw new StaveError(
      "USAGE",
      `expected a registry, not "${printable(text.replace(/^((?:[a-z+]+:\/\/)?)[^/]*@/, "$1***@"), { most: 160 })}"`,
      {
        hint: "name the host only, for example ghcr.io or localhost:5000",
      },
    );
  return { registry, scheme: prefix === undefined ? undefined : SCHEMES[prefix] };
}
