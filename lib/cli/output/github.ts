// What a workflow run of GitHub Actions shows beside the log: groups, error notes, and a page with a summary.
import { appendFileSync } from "node:fs";
import { messageOf } from "../../errors.ts";
import { printableLines } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";

/** Speaks to the runner; does nothing elsewhere. */
export class Workflow {
  readonly #isThere: boolean;
  readonly #summary: string | undefined;
  readonly #output: Output;

  constructor(context: Context, output: Output) {
    this.#isThere = context.env["GITHUB_ACTIONS"] === "true";
    this.#summary = context.env["GITHUB_STEP_SUMMARY"] || undefined;
    this.#output = output;
  }

  /** Begins a part of the log that can be folded; the returned function ends it. */
  group(title: string): () => void {
    if (!this.#isThere) return () => {};
    this.#output.note(`::group::${escaped(title)}`);
    return () => this.#output.note("::endgroup::");
  }

  /** Marks an error on the page of the run. */
  error(message: string): void {
    if (this.#isThere) this.#output.note(`::error::${escaped(message)}`);
  }

  /** Adds Markdown to the page of the run. If the page cannot be written, that is a warning, not a failure. */
  summary(markdown: string): void {
    if (this.#summary === undefined) return;
    try {
      appendFileSync(this.#summary, printableLines(markdown));
    } catch (error) {
      this.#output.warn(`cannot write the step summary: ${messageOf(error)}`);
    }
  }
}

// Workflow commands are lines; percent signs and line ends are escaped (GitHub Actions toolkit, "escapeData"). Secrets go
// before that, because an escaped one is not recognized.
function escaped(text: string): string {
  return printableLines(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
