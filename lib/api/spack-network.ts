// The network options of the command line and of the library, with Spack's settings where a registry is used.
import type { Location } from "../oci/reference.ts";
import type { NetworkSettings } from "../spack/config/settings.ts";
import type { NetworkOptions } from "./connection.ts";
import type { Surroundings } from "./surroundings.ts";

/** What options are completed for. */
export interface NetworkUse {
  readonly around: Surroundings;
  /** What will be opened, and a registry if only its login is tried. */
  readonly places: readonly Pick<Location, "kind">[];
  /** Spack's network settings, where its configuration has been read; default: they are read here. */
  readonly settings?: (() => NetworkSettings) | undefined;
  readonly onWarning: (text: string) => void;
}

/** For registries, Spack's network settings apply where no option says otherwise; directories need none. */
export async function networkFor(options: NetworkOptions, use: NetworkUse): Promise<NetworkOptions> {
  const { around, places, settings, onWarning } = use;
  if (!places.some(({ kind }) => kind === "registry")) return options;
  // Loaded here, so that work on directories starts without it.
  const { configuredNetwork, readNetworkSettings } = await import("./configured-network.ts");
  const found = settings ? settings() : readNetworkSettings(around, onWarning);
  return found ? configuredNetwork(options, found, onWarning) : options;
}
