// Asks questions on the terminal.
import { createInterface } from "node:readline/promises";
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Context } from "../machine/context.ts";

/** Asks before an irreversible action; anything but yes means no. Throws USAGE without a terminal. */
export async function confirm(context: Context, question: string): Promise<boolean> {
  if (!context.stdin.isTTY)
    throw new StaveError("USAGE", "this needs a confirmation, and there is no terminal to ask on", {
      hint: "add --yes, or --dry-run to see what would happen",
    });
  return /^y(?:es)?$/i.test((await ask(context, `${question} [y/N] `)).trim());
}

/** Asks for a line; a hidden answer is not shown while it is typed. Throws ABORTED if the input ends first. */
export async function ask(
  { stdin, stderr, signal }: Context,
  question: string,
  options: { readonly hidden?: boolean } = {},
): Promise<string> {
  const { hidden = false } = options;
  const reader = createInterface({
    input: stdin,
    terminal: hidden || stderr.isTTY === true,
    ...(hidden ? {} : { output: stderr }),
  });
  const text = printable(question);
  if (hidden) stderr.write(text);
  // Node's question neither resolves nor rejects when the input ends or Ctrl-C is typed (seen in Node 24.21,
  // 2026-11-21).
  const { promise: closed, reject } = Promise.withResolvers<never>();
  closed.catch(() => {});
  reader.once("close", () => reject(new StaveError("ABORTED", "no answer was given")));
  let answer: string | undefined;
  try {
    answer = await Promise.race([reader.question(hidden ? "" : text, { signal }), closed]);
    return answer;
  } finally {
    reader.close();
    // The typed newline is echoed only if the answer is.
    if (hidden || answer === undefined) stderr.write("\n");
  }
}
