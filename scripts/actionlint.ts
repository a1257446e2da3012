// actionlint, which checks workflow files: built from its Go module in CI, or with STAVE_BUILD_ACTIONLINT=1, in the
// background. Where it cannot be built, its test is skipped with the reason.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LateProgram, startLateProgram } from "./late-program.ts";
import { findProgram } from "./peers.ts";

const MODULE = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";
/** How to install it by hand. */
export const ACTIONLINT_INSTALL: string = `go install ${MODULE}`;
/** The test files that need it. */
export const ACTIONLINT_TESTS: readonly string[] = ["test/interop/actionlint.test.ts"];
const PATIENCE = 3 * 60_000;

/** Starts the build if it is wanted; undefined if actionlint is there already, or is not wanted. */
export function startActionlintBuild(env: NodeJS.ProcessEnv): LateProgram | undefined {
  const wish = env["STAVE_BUILD_ACTIONLINT"];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true")) return undefined;
  if (env["STAVE_ACTIONLINT"] !== undefined || findProgram("actionlint") !== undefined) return undefined;
  const folder = join(tmpdir(), `stave-actionlint-${MODULE.split("@v")[1]}`);
  return startLateProgram({
    ...{ path: join(folder, "actionlint"), folder, command: ["go", "install", MODULE], patience: PATIENCE },
    env: { ...env, GOBIN: folder, GOFLAGS: "-buildvcs=false" },
  });
}
