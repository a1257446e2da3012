// moto, a server that speaks S3, for the interop tests: installed with pip into a folder of its own, in CI or with
// STAVE_INSTALL_MOTO=1. Where that is not possible, its tests are skipped with the reason.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LateProgram, startLateProgram } from "./late-program.ts";
import { findProgram } from "./peers.ts";

const PACKAGE = "moto[server,s3]==5.2.5";
/** How to install it by hand. */
export const MOTO_INSTALL: string = `pip install '${PACKAGE}'`;
/** The test files that need it. */
export const MOTO_TESTS: readonly string[] = ["test/interop/moto.test.ts"];
const PATIENCE = 3 * 60_000;

/** Starts the installation if it is wanted; undefined if moto is there already, or is not wanted. */
export function startMotoInstall(env: NodeJS.ProcessEnv): LateProgram | undefined {
  const wish = env["STAVE_INSTALL_MOTO"];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true")) return undefined;
  if (env["STAVE_MOTO"] !== undefined || findProgram("moto_server") !== undefined) return undefined;
  const folder = join(tmpdir(), `stave-moto-${PACKAGE.split("==")[1]}`);
  const path = join(folder, "bin", "moto_server");
  const script = 'python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check "$2"';
  const command = ["sh", "-c", script, "sh", folder, PACKAGE];
  return startLateProgram({ path, folder, command, env, patience: PATIENCE });
}
