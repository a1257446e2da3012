// Makes sure that the process ends and reports why: if a verb waits for something that cannot happen, if it fails
// outside its own error handling, or if it does not stop after Ctrl-C.
import { StaveError } from "../errors.ts";
import { printFailure } from "./output/output.ts";
import type { RunState } from "./verbs/verb.ts";

/**
 * How long a verb may take to stop after the first Ctrl-C, in milliseconds; `serve` needs 10 s of it for running
 * transfers.
 */
const LONGEST_STOP = 15_000;

/** Watches a run; call the returned function with the exit status when the run has ended. */
export function guardRun(state: RunState): (status: number) => void {
  const { context } = state;
  const { signal } = context;
  let status: number | undefined;
  const end = (caught: unknown): void => process.exit(state.output?.fail(caught) ?? printFailure(context, caught));
  process.on("beforeExit", () => {
    if (status === undefined) end(signal.aborted ? signal.reason : halted());
  });
  process.on("uncaughtException", end);
  const onAbort = (): void => {
    if (status === undefined) setTimeout(() => end(signal.reason), LONGEST_STOP).unref();
    // All output is written; do not wait for whatever keeps the process alive.
    else process.exit(status);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return (ended) => {
    status = ended;
    process.exitCode = ended;
  };
}

function halted(): StaveError {
  return new StaveError("INTERNAL", "the command came to a halt: it waits for something that will not happen", {
    hint: "this is a defect of stave; run it again with --verbose and report what it prints",
  });
}
