// Real Spack for benchmarks: a separate configuration scope for an invented store, with recipes for its packages.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../peers.ts";

/** A Spack configured for one store and one mirror, named `bench`. */
export interface SpackPeer {
  version: string;
  env: Record<string, string>;
  /** One of its commands. */
  command: (...args: string[]) => string[];
}

export interface SpackPeerOptions {
  /** A folder for its configuration, recipes and caches. */
  scratch: string;
  /** The install tree. */
  root: string;
  /** The names of its packages. */
  packages: Iterable<string>;
  mirror: string;
}

/** Configures the Spack of SPACK_ROOT, or the one on the PATH; undefined unless it is Spack 1.0 or later. */
export function spackPeer({ scratch, root, packages, mirror }: SpackPeerOptions): SpackPeer | undefined {
  const named = process.env["SPACK_ROOT"] && join(process.env["SPACK_ROOT"], "bin/spack");
  const program = named && existsSync(named) ? named : findProgram("spack");
  if (program === undefined) return undefined;
  const scope = join(scratch, "scope");
  const repository = join(scratch, "spack_repo/builtin");
  const home = join(scratch, "spack-home");
  const env = { HOME: home, SPACK_USER_CACHE_PATH: join(home, "cache"), SPACK_DISABLE_LOCAL_CONFIG: "1" };
  for (const folder of [scope, repository, home]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(scope, "config.yaml"), `config: {install_tree: {root: ${root}}}\n`);
  writeFileSync(join(scope, "mirrors.yaml"), `mirrors:: {bench: {url: "${mirror}"}}\n`);
  writeFileSync(join(scope, "repos.yaml"), `repos:: {builtin: ${repository}}\n`);
  writeFileSync(join(repository, "repo.yaml"), "repo: {namespace: builtin, api: v2.0}\n");
  for (const name of new Set(packages)) {
    const folder = join(repository, "packages", name.replaceAll("-", "_"));
    const type = name
      .split("-")
      .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
      .join("");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "package.py"),
      `from spack.package import *\nclass ${type}(PackageBase):\n    has_code = False\n    version("1.0")\n`,
    );
  }
  const command = (...args: string[]): string[] => [program, "-C", scope, ...args];
  // Fill its caches of recipes and the store now, not in the first round.
  const [, ...find] = command("find");
  execFileSync(program, find, { env: { ...process.env, ...env }, stdio: "ignore" });
  const version = execFileSync(program, ["--version"], { env: { ...process.env, ...env }, encoding: "utf8" });
  if (Number.parseInt(version, 10) < 1) return undefined;
  return { version: version.split(" ", 1)[0]?.trim() ?? "", env, command };
}
