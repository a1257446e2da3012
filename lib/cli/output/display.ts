// What shows progress to the user, whatever it looks like.
import type { ProgressSink } from "../../util/progress.ts";

/** A display of progress. */
export interface ProgressDisplay {
  readonly sink: ProgressSink;
  /** Takes the bars off the screen, with nothing lost of what was told meanwhile. */
  stop(): void;
}
