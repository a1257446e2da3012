// Programs for tests that no distribution packages: made in the background and at the lowest priority, because that
// takes minutes, and kept between runs.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A program that is being made. */
export interface LateProgram {
  /** The path of the program, or why there is none. */
  finish(): Promise<{ readonly path: string } | { readonly reason: string }>;
}

/** How to make a program. */
export interface LateProgramOptions {
  /** Where it will be. */
  readonly path: string;
  /** A folder for its log. */
  readonly folder: string;
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds for which `finish` waits. */
  readonly patience: number;
}

/** Starts making a program, unless it is there from an earlier run. */
export function startLateProgram({ path, folder, command, env, patience }: LateProgramOptions): LateProgram {
  if (existsSync(path)) return { finish: () => Promise.resolve({ path }) };
  mkdirSync(folder, { recursive: true });
  const log = join(folder, "build.log");
  const output = openSync(log, "w");
  const child = spawn("nice", ["-n", "19", ...command], { env, stdio: ["ignore", output, output] });
  process.once("exit", () => child.kill());
  const ended = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) =>
      resolve(code === 0 ? undefined : readFileSync(log, "utf8").trim().split("\n").at(-1)),
    );
  });
  return {
    finish: async () => {
      const late = sleep(patience, "late" as const, { ref: false });
      const problem = await Promise.race([ended, late]);
      if (problem === "late") child.kill();
      if (problem === undefined && existsSync(path)) return { path };
      return { reason: problem === "late" ? "making it takes too long" : `it cannot be made: ${problem}` };
    },
  };
}
