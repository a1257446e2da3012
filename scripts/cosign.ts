// cosign for the interop tests: no distribution packages it, so it is built from its Go module, in the background and
// at the lowest priority, because that takes minutes. Where it cannot be built, its tests are skipped with the reason.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findProgram } from "./peers.ts";

const MODULE = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3";
/** How to install it by hand. */
export const COSIGN_INSTALL: string = `go install ${MODULE}`;
/** The test files that need it. */
export const COSIGN_TESTS: readonly string[] = ["test/interop/cosign.test.ts", "test/interop/cosign-keyless.test.ts"];

/** Milliseconds for which the end of the tests waits for the build. */
const PATIENCE = 5 * 60_000;

/** A build under way. */
export interface CosignBuild {
  /** The path of the program, or why there is none. */
  finish(): Promise<{ readonly path: string } | { readonly reason: string }>;
}

/**
 * Starts the build if it is wanted: in CI, or with STAVE_BUILD_COSIGN=1; never with STAVE_BUILD_COSIGN=0. Undefined if
 * cosign is there already, or is not wanted.
 */
export function startCosignBuild(env: NodeJS.ProcessEnv): CosignBuild | undefined {
  const wish = env["STAVE_BUILD_COSIGN"];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true")) return undefined;
  if (env["STAVE_COSIGN"] !== undefined || findProgram("cosign") !== undefined) return undefined;
  // Kept between runs.
  const folder = join(tmpdir(), `stave-cosign-${MODULE.split("@")[1]}`);
  const path = join(folder, "cosign");
  if (existsSync(path)) return { finish: () => Promise.resolve({ path }) };
  const go = findProgram("go");
  if (go === undefined) return { finish: () => Promise.resolve({ reason: "there is no go to build it" }) };
  mkdirSync(folder, { recursive: true });
  const log = join(folder, "build.log");
  const output = openSync(log, "w");
  const child = spawn("nice", ["-n", "19", go, "install", MODULE], {
    env: { ...env, GOBIN: folder, GOFLAGS: "-buildvcs=false" },
    stdio: ["ignore", output, output],
  });
  process.once("exit", () => child.kill());
  const ended = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) =>
      resolve(code === 0 ? undefined : readFileSync(log, "utf8").trim().split("\n").at(-1)),
    );
  });
  return {
    finish: async () => {
      const late = sleep(PATIENCE, "late" as const, { ref: false });
      const problem = await Promise.race([ended, late]);
      if (problem === "late") child.kill();
      if (problem === undefined && existsSync(path)) return { path };
      return { reason: problem === "late" ? "its build takes too long" : `it cannot be built: ${problem}` };
    },
  };
}
