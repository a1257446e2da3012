// Lets the user pick one of several lines on the terminal, with the arrow keys.
import { closeSync, openSync } from "node:fs";
import { ReadStream } from "node:tty";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";
import { cutText } from "./text-width.ts";

/** The most lines that are shown at once. */
const VISIBLE = 10;

const ESCAPE = "\u001b";
const UP = new Set([`${ESCAPE}[A`, `${ESCAPE}OA`, "k", "\u0010"]);
const DOWN = new Set([`${ESCAPE}[B`, `${ESCAPE}OB`, "j", "\u000e"]);
const ENTER = new Set(["\r", "\n"]);
// Ctrl-C, Ctrl-D, Escape alone, q.
const STOP = new Set(["\u0003", "\u0004", ESCAPE, "q"]);

/** The columns before a line: its mark. */
const MARGIN = 2;

/** What is on the screen while the choice `at` is marked: the question and the choices around it. */
export function listLines(
  question: string,
  choices: readonly string[],
  { at, columns }: { readonly at: number; readonly columns: number },
): string[] {
  const width = Math.max(MARGIN + 1, columns - 1);
  const first = Math.max(0, Math.min(at - VISIBLE + 2, choices.length - VISIBLE));
  const lines = choices.slice(first, first + VISIBLE).map((text, index) => {
    const mark = first + index === at ? "> " : "  ";
    return `${mark}${cutText(printable(text), width - MARGIN)}`;
  });
  const more = choices.length > VISIBLE ? ` (${at + 1} of ${choices.length})` : "";
  return [cutText(printable(`${question}${more}`), width), ...lines];
}

/** The number of the line that the user picks. Throws ABORTED if none is picked. */
export async function pick(
  { stderr, signal }: Pick<Context, "stderr" | "signal">,
  question: string,
  choices: readonly string[],
): Promise<number> {
  // The program that may replace this one reads stdin, which must therefore stay untouched.
  const file = openSync("/dev/tty", "r+");
  let input: ReadStream;
  try {
    input = new ReadStream(file);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  let at = 0;
  let drawn = 0;
  const draw = (): void => {
    const lines = listLines(question, choices, { at, columns: stderr.columns ?? 80 });
    clear();
    stderr.write(`${lines.join("\r\n")}\r\n`);
    drawn = lines.length;
  };
  const clear = (): void => {
    if (drawn > 0) stderr.write(`${ESCAPE}[${drawn}A\r${ESCAPE}[0J`);
    drawn = 0;
  };
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onAbort = (): void => reject(signal.reason);
  const onKeys = (bytes: Buffer): void => {
    for (const key of keysOf(bytes.toString("utf8"))) {
      if (STOP.has(key)) reject(new StaveError("ABORTED", "no spec was picked"));
      else if (ENTER.has(key)) resolve(at);
      else if (UP.has(key)) at = (at + choices.length - 1) % choices.length;
      else if (DOWN.has(key)) at = (at + 1) % choices.length;
      // What was typed ahead belongs to what comes next.
      if (STOP.has(key) || ENTER.has(key)) return;
    }
    draw();
  };
  try {
    signal.throwIfAborted();
    signal.addEventListener("abort", onAbort, { once: true });
    input.setRawMode(true);
    stderr.write(`${ESCAPE}[?25l`);
    input.on("data", onKeys).once("error", reject);
    input.once("end", () => reject(new StaveError("ABORTED", "no spec was picked")));
    draw();
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clear();
    stderr.write(`${ESCAPE}[?25h`);
    input.setRawMode(false);
    input.destroy();
  }
}

// Several keys may arrive together: sequences of the arrows, or single characters.
// biome-ignore lint/suspicious/noControlCharactersInRegex: arrows begin with Escape
const keysOf = (text: string): string[] => text.match(/\u001b[[O][A-Z]|[\s\S]/g) ?? [];
