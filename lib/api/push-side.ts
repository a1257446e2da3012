// What a push takes from Spack's files: which Spack to ask, where it lives, the variables of images.
import type { PushOptions } from "../ops/push/options.ts";
import { parseUserVariable } from "../spack/environment/run-environment.ts";
import type { SpackFiles } from "./spack-files.ts";

/** What a caller says about it. */
export interface PushSide {
  readonly variables?: readonly string[] | undefined;
  readonly spackEnv?: boolean | undefined;
  readonly spackPrefix?: string | undefined;
}

/** The options of a push that follow from Spack's files and from what a caller says. Throws USAGE for a wrong variable. */
export function spackSide(
  files: SpackFiles,
  { variables = [], spackEnv, spackPrefix }: PushSide,
): Pick<PushOptions, "spackPrefix" | "environment" | "spack"> {
  const { inspections } = files.discovery;
  return {
    spackPrefix: spackPrefix ?? files.spackPrefix,
    environment: {
      // A table that is configured empty is meant so.
      inspections: inspections.length === 0 ? "none" : inspections,
      spackEnv,
      user: variables.map(parseUserVariable),
    },
    spack: files.spackToAsk(),
  };
}
