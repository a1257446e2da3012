// What configuration may know of the machine and the user: everything is passed in, nothing is looked up here.

import { join } from "node:path";

/** The environment's variables. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The machine and user that a configuration is read for. */
export interface Host {
  readonly env: Variables;
  /** The home folder, for `~`. */
  readonly home: string;
  /** The name of the user, for `$user`. */
  readonly user: string;
  /** The working folder, for relative paths of the command line. */
  readonly cwd: string;
  /** The host name, for conditions. */
  readonly hostname: string;
  /** Spack's name of the platform: `linux`, `darwin`, … */
  readonly platform: string;
  /** The processor as uname names it, `x86_64` or `aarch64`: Spack's target family. */
  readonly machine: string;
  /** Spack's name of the operating system, `debian12`; undefined when it is not known. */
  readonly os?: string | undefined;
  /** Spack's name of the microarchitecture, `zen3`; undefined when it is not known. */
  readonly target?: string | undefined;
  /** Today as `YYYY-MM-DD`. */
  readonly date: string;
}

/** A leading `~` or `~/` replaced by the home folder; `~other` stays. */
export function expandUser(path: string, host: Host): string {
  return path === "~" || path.startsWith("~/") ? join(host.home, path.slice(1)) : path;
}

/**
 * Spack's name of a Linux distribution from the text of `/etc/os-release` (`operating_systems/linux_distro.py`):
 * `debian12`, `ubuntu24.04`, `rhel9`. Undefined when it cannot be told, as for openSUSE Tumbleweed, which needs libc's version.
 */
export function osName(osRelease: string): string | undefined {
  const fields = new Map<string, string>();
  for (const line of osRelease.slice(0, 65536).split("\n")) {
    const [, key, value] = /^([A-Z_]{1,40})=(.*)$/.exec(line.trim()) ?? [];
    if (key !== undefined && value !== undefined) fields.set(key, value.replace(/^(["'])(.*)\1$/, "$2"));
  }
  const id = DISTRIBUTION.get(fields.get("ID") ?? "") ?? fields.get("ID")?.toLowerCase().replaceAll(" ", "_");
  if (!id || id.includes("tumbleweed")) return undefined;
  const parts = (fields.get("VERSION_ID") ?? "").split(/[^\w-]/);
  const version = id.includes("ubuntu") ? parts.slice(0, 2).join(".") : (parts[0] ?? "");
  return (id + version).replaceAll("-", "_");
}

// The names that Python's distro module normalises.
const DISTRIBUTION = new Map([
  ["ol", "oracle"],
  ["opensuse-leap", "opensuse"],
]);
