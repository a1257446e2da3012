// Whether a machine runs the code of a spec: its platform, operating system and microarchitecture.
import { targetAtMost } from "./microarchitecture.ts";
import type { SpecNode } from "./node.ts";

/** A machine, as far as specs must fit it. */
export interface HostArchitecture {
  readonly platform: string;
  /** The operating system; undefined if the machine does not tell. */
  readonly os?: string | undefined;
  /** Other operating systems whose code it runs. */
  readonly compatibleSystems?: readonly string[] | undefined;
  /** The microarchitecture; undefined if the machine does not tell. */
  readonly target?: string | undefined;
}

/** True if a machine runs the code of a spec; true without a machine. */
export function fitsHost(
  { platform, os, target }: Pick<SpecNode, "platform" | "os" | "target">,
  host: HostArchitecture | undefined,
): boolean {
  if (host === undefined) return true;
  if (platform !== host.platform) return false;
  if (host.os !== undefined && os !== host.os && host.compatibleSystems?.includes(os) !== true) return false;
  return host.target === undefined || targetAtMost(target, host.target);
}
