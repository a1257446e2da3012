// Decides whether a machine can run the code of a spec, by platform, operating system and microarchitecture.
import { targetAtMost } from "./microarchitecture.ts";
import type { SpecNode } from "./node.ts";

/** A machine, as far as specs must fit it. */
export interface HostArchitecture {
  readonly platform: string;
  /** The operating system; undefined if unknown. */
  readonly os?: string | undefined;
  /** Other operating systems whose binaries it can run. */
  readonly compatibleSystems?: readonly string[] | undefined;
  /** The microarchitecture; undefined if unknown. */
  readonly target?: string | undefined;
}

/** True if a machine can run the code of a spec, or if no machine is given. */
export function fitsHost(
  { platform, os, target }: Pick<SpecNode, "platform" | "os" | "target">,
  host: HostArchitecture | undefined,
): boolean {
  if (host === undefined) return true;
  if (platform !== host.platform) return false;
  if (host.os !== undefined && os !== host.os && host.compatibleSystems?.includes(os) !== true) return false;
  return host.target === undefined || targetAtMost(target, host.target);
}
