// The network options of the command line and the library, completed by Spack's settings if a registry is used.
import { delimiter, join } from "node:path";
import type { NetworkSettings } from "../../spack/config/settings.ts";
import { isVisible } from "../../util/inspect-path.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import type { NetworkOptions } from "./connection.ts";
import { type CacheLocation, isRemote } from "./mirror-location.ts";

/** What the options are for. */
export interface NetworkUse {
  readonly around: Surroundings;
  /** The places that will be opened; a registry if only its login is checked. */
  readonly places: readonly Pick<CacheLocation, "kind">[];
  /** Spack's network settings, if its configuration was already read; default: read here. */
  readonly settings?: (() => NetworkSettings) | undefined;
  readonly onWarning: (text: string) => void;
}

/** For registries, applies Spack's network settings unless an option overrides them; directories need none. */
export async function networkFor(options: NetworkOptions, use: NetworkUse): Promise<NetworkOptions> {
  const { around, places, settings, onWarning } = use;
  if (!places.some(isRemote)) return options;
  if (settings === undefined && !mayHaveSpack(around)) return options;
  // Loaded here, so that work on directories, and without Spack, starts without the reader of its configuration.
  const { configuredNetwork, readNetworkSettings } = await import("./configured-network.ts");
  const found = settings ? settings() : readNetworkSettings(around, onWarning);
  return found ? configuredNetwork(options, found, onWarning) : options;
}

/** False only if Spack cannot be configured here: it has no variable, no folder and no program. */
function mayHaveSpack({ env, home }: Surroundings): boolean {
  const programs = (env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "spack"));
  return (
    Object.keys(env).some((name) => name.startsWith("SPACK_")) ||
    ["/etc/spack", join(home, ".spack"), ...programs].some((path) => isVisible(path))
  );
}
