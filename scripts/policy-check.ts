// A small program around containers/image, the library of podman and skopeo, for the interop tests: distributions build
// theirs without the signatures of Sigstore. It is built in the background, as cosign is.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LateProgram, startLateProgram } from "./late-program.ts";

const SOURCE = new URL("../test/support/policy-check/", import.meta.url).pathname;
// Without libraries in C.
const TAGS = "containers_image_openpgp,containers_image_storage_stub,containers_image_docker_daemon_stub";
// In a copy, because the build completes go.mod.
const BUILD = `cp "$1"/main.go "$1"/go.mod "$2" && cd "$2" && go build -tags ${TAGS} -o policy-check .`;
/** How to build it by hand. */
export const POLICY_CHECK_BUILD: string = `GOFLAGS=-mod=mod go build -tags ${TAGS} in test/support/policy-check`;
/** The test files that need it. */
export const POLICY_CHECK_TESTS: readonly string[] = ["test/interop/containers-image.test.ts"];

/** Milliseconds for which the end of the tests waits for the build. */
const PATIENCE = 5 * 60_000;

/** Starts the build in CI, or with STAVE_BUILD_POLICY_CHECK=1; undefined if it is not wanted. */
export function startPolicyCheckBuild(env: NodeJS.ProcessEnv): LateProgram | undefined {
  const wish = env["STAVE_BUILD_POLICY_CHECK"];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true") || env["STAVE_POLICY_CHECK"] !== undefined)
    return undefined;
  // Kept between runs.
  const folder = join(tmpdir(), "stave-policy-check-v5.36.2");
  return startLateProgram({
    ...{ path: join(folder, "policy-check"), folder, command: ["sh", "-c", BUILD, "sh", SOURCE, folder] },
    ...{ env: { ...env, GOFLAGS: "-mod=mod -buildvcs=false" }, patience: PATIENCE },
  });
}
