// Output for GitHub Actions besides the log: groups, error annotations, and the job summary.
import { appendFileSync } from "node:fs";
import { messageOf } from "../../errors.ts";
import { printableLines } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";
import { isWorkflow, workflowCommand } from "./workflow-command.ts";

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
    return () => this.#output.note("::endgroup::");
  }

  /** Adds Markdown to the job summary. If that fails, warns and continues. */
  summary(markdown: string): void {
    if (this.#summary === undefined) return;
    try {
      appendFileSync(this.#summary, printableLines(markdown));
    } catch (error) {
      this.#output.warn(`cannot write the step summary: ${messageOf(error)}`);
    }
  }
}
