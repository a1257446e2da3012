// A question before something that cannot be undone.
import { createInterface } from "node:readline/promises";
import { StaveError } from "../errors.ts";
import type { Context } from "./context.ts";

/** Asks on the terminal; anything but yes is no. Throws USAGE when nobody can answer. */
export async function confirm({ stdin, stderr, signal }: Context, question: string): Promise<boolean> {
  if (!stdin.isTTY)
    throw new StaveError("USAGE", "this needs a yes, and there is no terminal to ask on", {
      hint: "add --yes, or --dry-run to see what would happen",
    });
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    return /^y(?:es)?$/i.test((await lines.question(`${question} [y/N] `, { signal })).trim());
  } finally {
    lines.close();
  }
}
