// The machine and user that a configuration is read for. All values are passed in; nothing is looked up here.

import { join } from "node:path";

/** Environment variables. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The machine and user that a configuration is read for. */
export interface Host {
  readonly env: Variables;
  /** The home folder, for `~`. */
  readonly home: string;
  /** The user name, for `$user`. */
  readonly user: string;
  /** The working folder, for relative paths of the command line. */
  readonly cwd: string;
  /** The host name, for conditions. */
  readonly hostname: string;
  /** The platform by Spack's name: `linux`, `darwin`, … */
  readonly platform: string;
  /** The processor by uname's name, such as `x86_64` or `aarch64`: Spack's target family. */
  readonly machine: string;
  /** The operating system by Spack's name, such as `debian12`; undefined if unknown. */
  readonly os?: string | undefined;
  /** The microarchitecture by Spack's name, such as `zen3`; undefined if unknown. */
  readonly target?: string | undefined;
  /** Today as `YYYY-MM-DD`. */
  readonly date: string;
}

/** Replaces a leading `~` or `~/` by the home folder; `~other` stays. */
export function expandUser(path: string, host: Host): string {
  return path === "~" || path.startsWith("~/") ? join(host.home, path.slice(1)) : path;
}

/**
 * A Linux distribution by Spack's name, from the text of `/etc/os-release` (`operating_systems/linux_distro.py`):
 * `debian12`, `ubuntu24.04`, `rhel9`. Undefined if the text does not suffice, as for openSUSE Tumbleweed, which needs
 * libc's version.
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
