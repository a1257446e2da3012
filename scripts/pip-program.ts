// Programs for the interop tests that pip installs, each into a folder of its own, in CI or if it is asked for. Where
// that is not possible, their tests are skipped with the reason.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LateProgram, startLateProgram } from "./late-program.ts";
import { findProgram } from "./peers.ts";

const PATIENCE = 3 * 60_000;
const SCRIPT = 'python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check "$2"';

/** A program of a package. */
export interface PipProgram {
  /** `STAVE_<NAME>` is the path of the program, `STAVE_INSTALL_<NAME>` says whether to install it. */
  readonly name: string;
  /** What to install, with its version. */
  readonly package: string;
  readonly program: string;
  /** The package is a library, and the program the Python that finds it; one on the PATH would not. */
  readonly isLibrary?: boolean;
  /** The test files that need it. */
  readonly tests: readonly string[];
}

/** An S3 server. */
export const MOTO: PipProgram = {
  name: "MOTO",
  package: "moto[server,s3]==5.2.5",
  program: "moto_server",
  tests: ["test/interop/moto.test.ts"],
};

/** The official validator of SPDX documents. */
export const SPDX_TOOLS: PipProgram = {
  name: "SPDX_TOOLS",
  package: "spdx-tools==0.8.5",
  program: "pyspdxtools",
  tests: ["test/interop/spdx-tools.test.ts"],
};

/** The official types of in-toto's statements and of SLSA's provenance. */
export const IN_TOTO: PipProgram = {
  name: "IN_TOTO",
  package: "in-toto-attestation==0.9.3",
  program: "python",
  isLibrary: true,
  tests: ["test/interop/in-toto.test.ts"],
};

/** Starts the installation if it is wanted; undefined if the program is there already, or is not wanted. */
export function startPipInstall(one: PipProgram, env: NodeJS.ProcessEnv): LateProgram | undefined {
  const wish = env[`STAVE_INSTALL_${one.name}`];
  if (wish === "0" || (wish !== "1" && env["CI"] !== "true")) return undefined;
  if (pathOf(one, env) !== undefined) return undefined;
  const folder = join(tmpdir(), `stave-${one.package.replace(/\W+/g, "-")}`);
  const path = join(folder, "bin", one.program);
  const command = ["sh", "-c", SCRIPT, "sh", folder, one.package];
  return startLateProgram({ path, folder, command, env, patience: PATIENCE });
}

/** The path of the program, or why there is none. */
export function pipProgram(
  one: PipProgram,
  env: NodeJS.ProcessEnv,
): { readonly path: string; readonly skip: string | false } {
  const path = pathOf(one, env);
  if (path !== undefined) return { path, skip: false };
  const what = one.isLibrary ? `a ${one.program} that has it` : "it";
  const install = `name ${what} in $STAVE_${one.name} (pip install '${one.package}')`;
  return { path: "", skip: env[`STAVE_${one.name}_REASON`] ?? `${one.package} is missing: ${install}` };
}

function pathOf({ name, program, isLibrary }: PipProgram, env: NodeJS.ProcessEnv): string | undefined {
  return env[`STAVE_${name}`] ?? (isLibrary ? undefined : findProgram(program));
}
