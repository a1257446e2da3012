// Shows progress as bars on a terminal, otherwise as one line per finished item. Output removes the bars before it
// writes results.
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import type { Output } from "./output.ts";
import { lines } from "./progress-lines.ts";

/** Chooses the display: bars on a terminal, lines elsewhere, only warnings with --quiet or --json. */
export async function progressDisplay(context: Context, output: Output): Promise<ProgressDisplay> {
  const { quiet, json, progress } = output.options;
  const dumb = context.env["TERM"] === "dumb" || context.env["CI"] !== undefined;
  if (context.stderr.isTTY && !dumb && !quiet && progress !== false) {
    // Loaded only if there is a terminal to draw on.
    const { Bars } = await import("./progress-bars.ts");
    return new Bars(context, output);
  }
  return { sink: lines(output, quiet === true || json === true), stop: () => {} };
}
