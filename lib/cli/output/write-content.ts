// Writes content from a registry unchanged: to a file, or to a pipe.
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { StaveError } from "../../errors.ts";
import { type Content, writeOutput } from "../../util/write-output.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";

/** True if the flag says stdout: `-`, or the name that the system gives it. */
export function isStdout(file: string | undefined): boolean {
  return file === "-" || file === "/dev/stdout";
}

/**
 * Checks that content may go where the flag says, `-` or nothing being stdout: a terminal would interpret its bytes.
 * Throws USAGE.
 */
export function checkDestination(context: Context, output: Output, file: string | undefined): void {
  if (file !== undefined && !isStdout(file)) return;
  if (output.options.json || context.stdout.isTTY)
    throw new StaveError("USAGE", "content on stdout needs a pipe, and excludes --json", {
      hint: "name a file with -o FILE",
    });
}

/** Writes content to a file or device, as `writeOutput` does, or to stdout. */
export async function writeContent(context: Context, content: Content, file: string | undefined): Promise<void> {
  const { signal, stdout, cwd } = context;
  if (file === undefined || isStdout(file)) {
    await pipeline(Readable.from(content, { objectMode: false }), stdout, { end: false, signal });
    return;
  }
  await writeOutput(resolve(cwd, file), content, signal);
}
