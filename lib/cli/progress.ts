// Progress on a terminal as bars, elsewhere as one line per finished thing. Verbs reach it through their output, which takes
// the bars off the screen before it writes results.
import type { ProgressSink } from "../util/progress.ts";
import type { Context } from "./context.ts";
import type { Output } from "./output.ts";
import { formatBytes, formatDuration } from "./text.ts";

/** A display of progress. */
export interface ProgressDisplay {
  readonly sink: ProgressSink;
  /** Takes the bars off the screen, with nothing lost of what was told meanwhile. */
  stop(): void;
}

/** Chooses the display: bars on a terminal, lines elsewhere, only warnings with --quiet or --json. */
export async function progressDisplay(context: Context, output: Output): Promise<ProgressDisplay> {
  const { quiet, json, progress } = output.options;
  const dumb = context.env["TERM"] === "dumb" || context.env["CI"] !== undefined;
  if (context.stderr.isTTY && !dumb && !quiet && progress !== false) {
    // What draws them is read only where there is something to draw on.
    const { Bars } = await import("./progress-bars.ts");
    return new Bars(context, output);
  }
  return { sink: lines(output, quiet === true || json === true), stop: () => {} };
}

const VERBS = {
  copied: "copied",
  mounted: "mounted",
  checked: "checked",
  relocated: "relocated",
  skipped: "exists",
  failed: "failed",
} as const;

/** Tells each event in a line of its own; `silent` leaves warnings only. */
export function lines(output: Output, silent: boolean): ProgressSink {
  return (event) => {
    if (event.type === "warning") output.warn(event.text);
    else if (silent) return;
    else if (event.type === "done") {
      if (event.isTold) return;
      const size = event.size === undefined ? "" : ` (${formatBytes(event.size)})`;
      const text = `${VERBS[event.outcome]} ${event.label}${size}`;
      if (event.outcome === "skipped") output.detail(text);
      else output.note(text);
    } else if (event.type === "wait") output.note(`waiting for ${formatDuration(event.milliseconds)}: ${event.reason}`);
    else if (event.type === "note") output.note(event.text);
  };
}
