// The interface of progress displays.
import type { ProgressSink } from "../../util/progress.ts";

/** A progress display. */
export interface ProgressDisplay {
  readonly sink: ProgressSink;
  /** Removes the bars from the screen, after writing pending lines. */
  stop(): void;
}
