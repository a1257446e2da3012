// The machine that installed specs must fit.
import { compatibleSystems } from "../../spack/config/compatible-systems.ts";
import type { HostArchitecture } from "../../spack/spec/fits-host.ts";
import type { SpackFiles } from "./spack-files.ts";

/** The architecture of this machine, and the operating systems that the configuration declares compatible. */
export function installHost({ discovery }: Pick<SpackFiles, "discovery">): HostArchitecture {
  const { configuration } = discovery;
  const { platform, os, target } = configuration.context.host;
  return { platform, os, target, compatibleSystems: compatibleSystems(configuration) };
}
