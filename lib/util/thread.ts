// Starts worker threads from a file that stands beside the code that needs it: as a source while stave is developed, as a
// part of the bundle (`parts/NAME.js`) once it is built.
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";

/**
 * Starts a thread. `from` is the caller's `import.meta.url`, `file` the worker's file name without extension, `name` what
 * debuggers call the thread.
 */
export function startThread(from: string, file: string, name: string): Worker {
  const extension = extname(from);
  const beside = new URL(`${file}${extension}`, from);
  const url = existsSync(beside) ? beside : new URL(`parts/${file}${extension}`, from);
  // Sources need the loader that this process was started with; the built program needs nothing.
  const usesTsx = extension === ".ts" && process.execArgv.join(" ").includes("tsx");
  return new Worker(url, { execArgv: usesTsx ? ["--import", "tsx"] : [], name });
}
