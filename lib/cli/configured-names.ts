// Reads the names of Spack's configuration for completion, and remembers them until the configuration changes.
import { SpackFiles } from "../api/from-spack/spack-files.ts";
import type { Surroundings } from "../api/machine/surroundings.ts";
import { isStaveError } from "../errors.ts";
import { namedEnvironments } from "../ops/store/named-environments.ts";
import { stampFiles } from "../util/file-stamps.ts";
import { rememberAnswer } from "../util/remembered-answer.ts";
import { watchVariables } from "../util/watched-variables.ts";
import { isPlainWord } from "./machine/known-words.ts";
import { type ConfiguredNames, namesQuestion } from "./machine/names-question.ts";

/** The names; none where the configuration cannot be read. */
export async function readNames(around: Surroundings): Promise<ConfiguredNames> {
  const watched = watchVariables(around.env);
  try {
    const files = new SpackFiles({ ...around, env: watched.env }, { env: false });
    const { mirrors, environmentsRoot } = files.discovery;
    const names = {
      mirrors: mirrors.map(({ name }) => name).filter(isPlainWord),
      environments: (environmentsRoot === undefined ? [] : await namedEnvironments(environmentsRoot)).filter(
        isPlainWord,
      ),
    };
    const inputs = [...files.inputs, ...(environmentsRoot === undefined ? [] : [environmentsRoot])];
    const stamps = stampFiles(inputs, around.clock.now());
    const variables = watched.seen();
    if (stamps !== undefined && variables !== undefined)
      rememberAnswer(namesQuestion(around), { answer: JSON.stringify(names), files: stamps, variables, until: null });
    return names;
  } catch (error) {
    // Completion has no place for messages; the next command reports it.
    if (!isStaveError(error)) throw error;
    return { mirrors: [], environments: [] };
  }
}
