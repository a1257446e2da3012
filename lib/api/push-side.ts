// What a push takes from Spack's files: which Spack to ask, its directory, the variables of images.
import type { PushOptions } from "../ops/push/options.ts";
import { parseUserVariable } from "../spack/environment/run-environment.ts";
import type { SpackFiles } from "./spack-files.ts";

/** The caller's settings. */
export interface PushSide {
  readonly variables?: readonly string[] | undefined;
  readonly spackEnv?: boolean | undefined;
  readonly spackPrefix?: string | undefined;
}

/**
 * The options of a push that follow from Spack's files and the caller's settings. Throws USAGE for an invalid variable.
 */
export function spackSide(
  files: SpackFiles,
  { variables = [], spackEnv, spackPrefix }: PushSide,
): Pick<PushOptions, "spackPrefix" | "environment" | "spack"> {
  const { inspections } = files.discovery;
  return {
    spackPrefix: spackPrefix ?? files.spackPrefix,
    environment: {
      // An empty table in the configuration is intentional.
      inspections: inspections.length === 0 ? "none" : inspections,
      spackEnv,
      user: variables.map(parseUserVariable),
    },
    spack: files.spackToAsk(),
  };
}
