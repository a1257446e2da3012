// Starts worker threads from a file beside the calling code: a source file in development, a part of the bundle
// (`parts/NAME.js`) once built, a file inside the program if it is a single executable.
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { embeddedFile } from "./embedded.ts";

/**
 * Starts a thread. `from` is the caller's `import.meta.url`, `file` the worker's file name without extension, `name`
 * the thread's name in debuggers.
 */
export function startThread(from: string, file: string, name: string): Worker {
  const embedded = embeddedFile(`${file}.js`);
  if (embedded !== undefined) return new Worker(new TextDecoder().decode(embedded), { eval: true, execArgv: [], name });
  const extension = extname(from);
  // From a part, from the command, and from `exports/NAME.js` of the library.
  const places = ["./", "parts/", "../parts/"].map((folder) => new URL(`${folder}${file}${extension}`, from));
  const url = places.find((place) => existsSync(place)) ?? new URL(`${file}${extension}`, from);
  // Source files need the loader this process was started with; the bundle needs none.
  const usesTsx = extension === ".ts" && process.execArgv.join(" ").includes("tsx");
  return new Worker(url, { execArgv: usesTsx ? ["--import", "tsx"] : [], name });
}
