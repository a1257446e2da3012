// Output for GitHub Actions besides the log: groups, error annotations, and the job summary.
import { appendFileSync, statSync } from "node:fs";
import { messageOf } from "../../errors.ts";
import { printableLines } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";
import { isWorkflow, workflowCommand } from "./workflow-command.ts";

/** In bytes; of a larger summary the runner drops everything (1 MiB), and other steps write to it as well. */
const SUMMARY_LIMIT = 900_000;
const CUT = "\n… and more: see the log\n";

/** The first lines of a text that fit into some bytes; says so if some are missing. */
function fitting(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const start = Buffer.from(text).subarray(0, Math.max(0, bytes - Buffer.byteLength(CUT)));
  const whole = start.subarray(0, start.lastIndexOf(10) + 1).toString("utf8");
  return whole === "" ? "" : `${whole}${CUT}`;
}

/** Writes workflow commands; does nothing outside GitHub Actions. */
export class Workflow {
  readonly #isThere: boolean;
  readonly #summary: string | undefined;
  readonly #output: Output;

  constructor(context: Context, output: Output) {
    this.#isThere = isWorkflow(context.env);
    this.#summary = context.env["GITHUB_STEP_SUMMARY"] || undefined;
    this.#output = output;
  }

  /** Starts a collapsible group of the log; the returned function ends it. */
  group(title: string): () => void {
    if (!this.#isThere) return () => {};
    this.#output.note(workflowCommand("group", title));
    return () => this.#output.note(workflowCommand("endgroup", ""));
  }

  /** Adds Markdown to the job summary, as much of it as fits. If that fails, warns and continues. */
  summary(markdown: string): void {
    if (this.#summary === undefined) return;
    try {
      const before = statSync(this.#summary, { throwIfNoEntry: false })?.size ?? 0;
      appendFileSync(this.#summary, fitting(printableLines(markdown), SUMMARY_LIMIT - before));
    } catch (error) {
      this.#output.warn(`cannot write the step summary: ${messageOf(error)}`);
    }
  }
}
