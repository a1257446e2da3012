// The operating systems whose binaries another one runs (Spack `solver/os_compatibility.lp`,
// `concretizer:os_compatible`).
import * as z from "zod";
import { checked } from "../text/schema-check.ts";
import type { Configuration } from "./config.ts";
import { entriesOf } from "./settings.ts";

/** Releases of macOS, newest first: each can run the binaries of the next one. */
const MACOS = ["tahoe", "sequoia", "sonoma", "ventura", "monterey", "bigsur", "catalina"];

const NAMES = z.array(z.string().max(256)).max(1000);

/** The other operating systems whose binaries the configuration's host can run. Throws CONFIG_INVALID. */
export function compatibleSystems(config: Configuration): string[] {
  const { platform, os } = config.context.host;
  if (os === undefined) return [];
  const older = new Map<string, readonly string[]>(
    platform === "darwin" ? MACOS.map((name, at) => [name, MACOS.slice(at + 1, at + 2)]) : [],
  );
  const node = config.style === "platform" ? undefined : config.get("concretizer:os_compatible");
  for (const [name, value] of node ? entriesOf(node, "concretizer:os_compatible") : [])
    older.set(name, [...(older.get(name) ?? []), ...checked(NAMES, value, `concretizer:os_compatible:${name}`)]);
  const found = new Set([os]);
  for (const name of found) for (const other of older.get(name) ?? []) found.add(other);
  found.delete(os);
  return [...found];
}
