// Where the names of Spack's configuration are remembered. Apart from the code that reads them, so that completion
// loads little.
import { ownDiskCache } from "../../api/machine/cache-folder.ts";
import { lineKey } from "../../api/machine/line-key.ts";
import type { Surroundings } from "../../api/machine/surroundings.ts";
import type { Question } from "../../util/remembered-answer.ts";

/** Names of Spack's configuration. */
export interface ConfiguredNames {
  readonly mirrors: readonly string[];
  readonly environments: readonly string[];
}

/** The question for the names of the configuration. */
export const namesQuestion = (around: Surroundings): Question => ({
  memory: ownDiskCache(around),
  kind: "configured-names",
  key: lineKey(around, [], undefined),
});
