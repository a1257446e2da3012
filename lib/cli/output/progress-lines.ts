// Shows progress as one line per finished item, for logs and above bars.
import type { ProgressSink } from "../../util/progress.ts";
import { formatBytes, formatDuration } from "./formatting.ts";
import type { Output } from "./output.ts";

const VERBS = {
  copied: "copied",
  mounted: "mounted",
  checked: "checked",
  relocated: "relocated",
  skipped: "exists",
  failed: "failed",
} as const;

/** Prints each event on a line; `silent` prints only warnings. */
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
