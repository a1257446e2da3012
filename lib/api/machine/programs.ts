// Programs on the PATH.
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Surroundings } from "./surroundings.ts";

/** The absolute path of a program, undefined if no folder of the PATH has it. */
export function findProgram(name: string, { env }: Pick<Surroundings, "env">): string | undefined {
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    // An empty or relative entry would mean the working folder, whose programs must not be run by accident.
    if (!folder.startsWith("/")) continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}
