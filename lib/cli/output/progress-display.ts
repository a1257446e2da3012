// Progress on a terminal as bars, elsewhere as one line per finished thing. Verbs reach it through their output, which takes
// the bars off the screen before it writes results.
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import type { Output } from "./output.ts";
import { lines } from "./progress-lines.ts";

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
