// All output of a verb: results on stdout, everything else on stderr, as text or as one JSON document. Removes secrets
// and terminal escape sequences from everything, except the colours created here.

import { styleText } from "node:util";
import { isStaveError, messageOf, originalError, StaveError } from "../../errors.ts";
import { jsonText, printableLines } from "../../printable/printable.ts";
import { noProgress, type ProgressSink } from "../../util/progress.ts";
import type { Context } from "../machine/context.ts";
import type { ProgressDisplay } from "./display.ts";
import { describeFailure } from "./failure-text.ts";
import { fittingHint } from "./hint.ts";
import { inFlags } from "./option-flags.ts";
import { type CallWords, typeable } from "./typeable.ts";
import { inLog, isWorkflow } from "./workflow-command.ts";

/** The flags of every verb that control its output. */
export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
  verbose?: boolean;
  progress?: boolean;
  color?: string;
}

/** The version of the common envelope of JSON documents; it grows when a field changes its meaning. */
const JSON_SCHEMA = 1;

type Style = Parameters<typeof styleText>[0];

/**
 * Stands for the escape character in the colours created here; text from outside cannot guess it. Made when the first
 * text is styled, because loading the cryptography takes a tenth of the time of a short command.
 */
let escapeMark: string | undefined;

/** The output of one run of one verb. */
export class Output {
  readonly verb: string;
  readonly options: OutputOptions;
  readonly #context: Context;
  readonly #color: { stdout: boolean; stderr: boolean };
  /** What the commands in hints need from this call. */
  call: CallWords = { spack: [], network: [] };
  /** An image that was looked for on Docker Hub because its name has no host; a directory may have been meant. */
  hubImage: string | undefined;
  /** Set while bars are on the screen: lines on stderr then go through the bars, so as not to disrupt them. */
  line: ((text: string) => void) | undefined;
  /** The progress display, set by the code that runs the verb. */
  display: ProgressDisplay | undefined;

  constructor(context: Context, verb: string, options: OutputOptions) {
    this.#context = context;
    this.verb = verb;
    this.options = options;
    const { stdout, stderr, env } = context;
    const chosen = { always: true, never: false }[options.color ?? "auto"] ?? chosenColor(env);
    this.#color = {
      stdout: chosen ?? stdout.isTTY === true,
      stderr: chosen ?? (stderr.isTTY === true || isColoredLog(env)),
    };
  }

  /** Where work reports its progress. */
  get progress(): ProgressSink {
    return this.display?.sink ?? noProgress;
  }

  /** Removes the progress display; printing results also does that. */
  endProgress(): void {
    this.display?.stop();
  }

  /** The width of the terminal; undefined if stdout is not one, so that results are not cut. */
  get columns(): number | undefined {
    return this.#context.stdout.isTTY ? (this.#context.stdout.columns ?? 80) : undefined;
  }

  /** Styles text for stdout. */
  style(style: Style, text: string): string {
    return this.#color.stdout ? styled(style, text) : text;
  }

  /** Writes text results; nothing with --json, where the report has them. */
  print(text: string): void {
    this.printExact(shown(text.endsWith("\n") ? text : `${text}\n`, this.#context.env));
  }

  /**
   * Writes text for a program, such as a shell, unchanged; nothing with --json. The maker of the text keeps workflow
   * commands out of it.
   */
  printExact(text: string): void {
    this.endProgress();
    if (!this.options.json) this.#context.stdout.write(text);
  }

  /** Writes the report as the one JSON document, if --json was given. */
  report(report: unknown): void {
    if (this.options.json) this.document({ report });
  }

  /** Prints a note on stderr, unless --quiet. */
  note(text: string): void {
    if (!this.options.quiet) this.#tell(oneLine(text));
  }

  /** Prints a detail on stderr, with --verbose only. */
  detail(text: string): void {
    if (this.options.verbose) this.#tell(this.#paint("dim", oneLine(text)));
  }

  /** Prints a warning on stderr. */
  warn(text: string): void {
    this.#tell(`${this.#paint(["yellow", "bold"], "warning:")} ${oneLine(text)}`);
  }

  /**
   * Prints a failure: its message and code, details, and the hint. Returns the exit status. With --json, the report of
   * completed work goes into the same document.
   */
  fail(caught: unknown, report?: unknown): number {
    this.endProgress();
    const error = fittingHint(asStaveError(caught), { ...this.#context, verb: this.verb }, this.hubImage);
    const paint = (style: Style, part: string): string => this.#paint(style, part);
    const { env } = this.#context;
    const style = { paint, isWorkflow: isWorkflow(env), hint: (text: string) => this.#hint(text) };
    for (const text of describeFailure(error, style)) this.#tell(text);
    if (this.options.json) this.document(report === undefined ? { error } : { error, report });
    if (error.code === "INTERNAL" && caught instanceof Error)
      for (const line of caught.stack?.split("\n") ?? []) this.detail(line);
    return error.exitCode;
  }

  /** A command to type next, completed with the arguments of this call. */
  command(text: string): string {
    return typeable(text, this.call);
  }

  #hint(text: string): string {
    return typeable(inFlags(text), this.call);
  }

  #paint(style: Style, text: string): string {
    return this.#color.stderr ? styled(style, text) : text;
  }

  #tell(text: string): void {
    const safe = shown(text, this.#context.env);
    if (this.line) this.line(safe);
    else this.#context.stderr.write(`${safe}\n`);
  }

  /** Writes the one JSON document, in the envelope that all verbs share. */
  document(content: Record<string, unknown>): void {
    this.endProgress();
    // Errors, and so hints, may be at any depth of a report.
    const hints = (key: string, value: unknown): unknown =>
      key === "hint" && typeof value === "string" ? this.#hint(value) : value;
    const text = jsonText({ schema: JSON_SCHEMA, verb: this.verb, ...content }, hints);
    this.#context.stdout.write(`${text}\n`);
  }
}

// NO_COLOR and FORCE_COLOR have their standard meaning (no-color.org, force-color.org).
function chosenColor(env: Context["env"]): boolean | undefined {
  if (env["NO_COLOR"]) return false;
  const forced = env["FORCE_COLOR"];
  return forced ? !/^(?:0|false)$/i.test(forced) : undefined;
}

// The logs of these services show colours, though they are not terminals. Stdout stays plain, because a program may
// read it.
function isColoredLog(env: Context["env"]): boolean {
  return isWorkflow(env) || env["GITLAB_CI"] === "true";
}

function styled(style: Style, text: string): string {
  escapeMark ??= `<${crypto.randomUUID()}>`;
  return styleText(style, printableLines(text), { validateStream: false }).replaceAll("\u001b", escapeMark);
}

function oneLine(text: string): string {
  return text.replaceAll("\n", "\\n");
}

/** Text as written: safe for a terminal and for the log of a workflow, with the colours created here. */
function shown(text: string, env: Context["env"]): string {
  const printed = printableLines(text);
  const safe = isWorkflow(env) ? inLog(printed) : printed;
  return escapeMark === undefined ? safe : safe.replaceAll(escapeMark, "\u001b");
}

/** Converts anything that was thrown to a StaveError; an unexpected error is reported as a defect of stave. */
export function asStaveError(thrown: unknown): StaveError {
  const caught = originalError(thrown);
  if (isStaveError(caught)) return caught;
  return new StaveError("INTERNAL", `unexpected: ${messageOf(caught)}`, {
    hint: "this is a defect of stave; run it again with --verbose and report what it prints",
    cause: caught,
  });
}

/** Prints a failure outside any verb, when no flags are known, and returns the exit status. */
export function printFailure({ stderr, env }: Pick<Context, "stderr" | "env">, caught: unknown): number {
  const { message, code, exitCode } = asStaveError(caught);
  stderr.write(shown(`error: ${oneLine(message)} [${code}]\n`, env));
  return exitCode;
}
