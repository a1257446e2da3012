// cosign for the interop tests: no distribution packages it, so it is built from its Go module, in the background and
// at the lowest priority, because that takes minutes. Where it cannot be built, its tests are skipped with the reason.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LateProgram, startLateProgram } from "./late-program.ts";
import { findProgram } from "./peers.ts";

const MODULE = "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3";
/** How to install it by hand. */
export const COSIGN_INSTALL: string = `go install ${MODULE}`;
/** The test files that need it. */
export const COSIGN_TESTS: readonly string[] = ["test/interop/cosign.test.ts", "test/interop/cosign-keyless.test.ts"];

/** Milliseconds for which the end of the tests waits for the build. */
const PATIENCE = 5 * 60_000;

/**
 * Starts the build if it is wanted: in CI, or with STAVE_BUILD_COSIGN=1; never with STAVE_BUILD_COSIGN=0. Undefined if
 * cosign is there already, or is not wanted.
 */
export function startCosignBuild(env: NodeJS.ProcessEnv): LateProgram | undefined {
  const wish = env["STAVE_BUILD_COSIGN"];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true")) return undefined;
  if (env["STAVE_COSIGN"] !== undefined || findProgram("cosign") !== undefined) return undefined;
  // Kept between runs.
  const folder = join(tmpdir(), `stave-cosign-${MODULE.split("@")[1]}`);
  return startLateProgram({
    ...{ path: join(folder, "cosign"), folder, command: ["go", "install", MODULE], patience: PATIENCE },
    env: { ...env, GOBIN: folder, GOFLAGS: "-buildvcs=false" },
  });
}
