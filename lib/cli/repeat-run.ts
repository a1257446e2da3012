// Repeats a `stave run` that was made before: becomes the program without reading flags or configuration. It loads none
// of the libraries for these, which take most of the time of a start.
import { ownDiskCache } from "../api/machine/cache-folder.ts";
import { lineKey } from "../api/machine/line-key.ts";
import { processSurroundings, type Surroundings } from "../api/machine/surroundings.ts";
import { isAccepted, readProjectText } from "../api/project/project-acceptance.ts";
import { projectFile } from "../api/project/project-place.ts";
import { withVariables } from "../ops/store/env-variables.ts";
import { type RememberedRun, RunMemory, runQuestion } from "../ops/store/run-memory.ts";
import { recallAnswer } from "../util/remembered-answer.ts";
import { programFor, replaceProcess } from "./machine/replace-process.ts";

/** Becomes the program of `argv`; returns if this exact line is not remembered, or if it would fail. */
export async function repeatRun(argv: readonly string[]): Promise<void> {
  const at = argv.indexOf("--");
  if (argv[0] !== "run" || at < 0 || at === argv.length - 1) return;
  try {
    const around = processSurroundings();
    const run = await rememberedRun(argv.slice(0, at), around);
    if (run === undefined) return;
    const env = withVariables(run.modifications, around.env);
    await replaceProcess(programFor(argv.slice(at + 1), env, around));
  } catch {
    // The whole command meets the same obstacle and reports it.
  }
}

async function rememberedRun(line: readonly string[], around: Surroundings): Promise<RememberedRun | undefined> {
  const file = projectFile(around);
  const project = file === undefined ? undefined : { file, text: await readProjectText(file) };
  // The whole command says that it is not used.
  if (project !== undefined && !isAccepted(project, around)) return undefined;
  const entries = ownDiskCache(around);
  const key = lineKey(around, line, project);
  const run = recallAnswer(runQuestion(entries, key), { env: around.env, now: around.clock.now() });
  return run === undefined ? undefined : new RunMemory(entries, run).get();
}
