// Programs on the PATH.
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { StripTool } from "../../image/archive/strip.ts";
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

/** The program that removes debug sections, if the PATH has one, and a folder for what it writes. */
export function stripProgram(around: Pick<Surroundings, "env">): StripTool | undefined {
  const program = findProgram("strip", around) ?? findProgram("eu-strip", around);
  if (program === undefined) return undefined;
  const { size, mtimeMs } = statSync(program);
  return { program, id: `${program} ${size} ${mtimeMs}`, scratch: around.env["TMPDIR"] || "/tmp" };
}
