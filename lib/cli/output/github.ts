// Output for GitHub Actions besides the log: groups, error annotations, and the job summary.
import { appendFileSync } from "node:fs";
import { messageOf } from "../../errors.ts";
import { printableLines } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";

/** Writes workflow commands; does nothing outside GitHub Actions. */
export class Workflow {
  readonly #isThere: boolean;
  readonly #summary: string | undefined;
  readonly #output: Output;

  constructor(context: Context, output: Output) {
    this.#isThere = context.env["GITHUB_ACTIONS"] === "true";
    this.#summary = context.env["GITHUB_STEP_SUMMARY"] || undefined;
    this.#output = output;
  }

  /** Starts a collapsible group of the log; the returned function ends it. */
  group(title: string): () => void {
    if (!this.#isThere) return () => {};
    this.#output.note(`::group::${escaped(title)}`);
    return () => this.#output.note("::endgroup::");
  }

  /** Adds an error annotation to the run. */
  error(message: string): void {
    if (this.#isThere) this.#output.note(`::error::${escaped(message)}`);
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

// Workflow commands are lines; percent signs and line ends are escaped (GitHub Actions toolkit, "escapeData"). Secrets
// go before that, because an escaped one is not recognized.
function escaped(text: string): string {
  return printableLines(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
