// Writes content from a registry unchanged: to a file, or to a pipe.
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { StaveError } from "../../errors.ts";
import { replaceFile } from "../../util/replace-file.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "./output.ts";

/**
 * Checks that content may go where the flag says, `-` or nothing being stdout: a terminal would interpret its bytes.
 * Throws USAGE.
 */
export function checkDestination(context: Context, output: Output, file: string | undefined): void {
  if (file !== undefined && file !== "-") return;
  if (output.options.json || context.stdout.isTTY)
    throw new StaveError("USAGE", "content on stdout needs a pipe, and excludes --json", {
      hint: "name a file with -o FILE",
    });
}

/** Writes content to a file, which is only there once it is whole, or to stdout. */
export async function writeContent(
  context: Context,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  file: string | undefined,
): Promise<void> {
  const { signal, stdout, cwd } = context;
  if (file === undefined || file === "-") {
    await pipeline(Readable.from(content, { objectMode: false }), stdout, { end: false, signal });
    return;
  }
  const path = resolve(cwd, file);
  await replaceFile(path, { temporary: `${path}.${randomBytes(6).toString("hex")}.tmp` }, async (handle) => {
    for await (const chunk of content)
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
  });
}
