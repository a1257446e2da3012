// The outside world of a verb: the environment, the streams, the clock and Ctrl-C. Only this file and main.ts use
// `process`.
import type { Readable, Writable } from "node:stream";
import type { Choose } from "../../api/from-spack/spack-files.ts";
import { processSurroundings, type Surroundings } from "../../api/machine/surroundings.ts";
import { StaveError } from "../../errors.ts";
import type { Project } from "../../spack/config/project-settings.ts";

/** A stream that may be a terminal. */
export type Terminal = Writable & { isTTY?: boolean; columns?: number };

/** The outside world as a value, so that tests can run verbs in one process. */
export interface Context extends Surroundings {
  stdin: Readable & { isTTY?: boolean };
  stdout: Terminal;
  stderr: Terminal;
  /** Aborted, with an ABORTED error, at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** The accepted stave.yaml of the working folder; undefined for verbs that use none. */
  project?: Project | undefined;
  /** Asks which of several lines is meant; undefined where no one can answer. */
  choose?: Choose | undefined;
  /** The machine's architecture in Node's terms: `process.arch`. */
  arch: string;
}

/** The context of this process; the first SIGINT or SIGTERM aborts it, the second exits at once. */
export function processContext(): Context {
  const abort = new AbortController();
  const onSignal = () => {
    if (abort.signal.aborted) process.exit(130);
    abort.abort(
      new StaveError("ABORTED", "interrupted", { hint: "run the same command again; it continues where it stopped" }),
    );
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // A reader that closed the pipe (`stave tags … | head`) is not a failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 10));
  // Messages that have no reader are no reason to stop the work; the exit status still tells how it ended.
  process.stderr.on("error", () => {});
  return {
    ...processSurroundings(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: abort.signal,
    arch: process.arch,
  };
}
