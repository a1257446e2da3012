// Finds the Spack installation, its version and its layout of configuration scopes.
import { accessSync, constants, readFileSync, realpathSync, statSync } from "node:fs";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import { expandUser, type Host } from "./machine.ts";

/**
 * How a Spack release builds its configuration scopes: `platform` is 0.x (each scope has a sub-folder per platform),
 * `include` is 1.0 (the same scopes, with `include:` in any of them), `nested` is 1.1 and later (user, site and system
 * are included by `spack`).
 */
export type ScopeStyle = "platform" | "include" | "nested";

/** How an installation was found. */
export type NamedBy = "option" | "SPACK_ROOT" | "PATH";

/** A Spack installation. */
export interface Installation {
  /** The folder that holds `bin/spack`; `$spack` in configuration. */
  readonly root: string;
  /** The version in its source, such as `1.2.0.dev0`. */
  readonly version: string;
  readonly style: ScopeStyle;
  /** How it was found. */
  readonly from: NamedBy;
}

/**
 * Finds Spack: the named one, else `$SPACK_ROOT`, else the first `spack` on `$PATH`. Throws CONFIG_INVALID if the named
 * folder is not an installation.
 */
export function findInstallation(named: string | undefined, host: Host): Installation | undefined {
  if (named !== undefined) return open(resolve(host.cwd, expandUser(named, host)), "option");
  const root = host.env["SPACK_ROOT"];
  if (root) return open(resolve(host.cwd, root), "SPACK_ROOT");
  for (const folder of (host.env["PATH"] ?? "").split(delimiter)) {
    const program = join(folder, "spack");
    if (!isAbsolute(folder) || !isExecutable(program)) continue;
    const found = rootOf(program);
    if (found !== undefined && versionOf(found) !== undefined) return open(found, "PATH");
  }
  return undefined;
}

/** The paths that decide which installation is found, present or absent. */
export function installationPlaces(
  named: string | undefined,
  found: Installation | undefined,
  { env, cwd, ...host }: Host,
): string[] {
  const given = named === undefined ? env["SPACK_ROOT"] : expandUser(named, { env, cwd, ...host });
  const programs = given
    ? [resolve(cwd, given)]
    : (env["PATH"] ?? "").split(delimiter).flatMap((folder) => (isAbsolute(folder) ? [join(folder, "spack")] : []));
  return found === undefined ? programs : [...programs, join(found.root, VERSION_FILE)];
}

/** The `major.minor` of a version, `$spack_short_version` in configuration. */
export function shortVersion(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

function open(path: string, from: NamedBy): Installation {
  const root = isExecutable(path) ? (rootOf(path) ?? path) : path;
  const version = versionOf(root);
  if (version === undefined)
    throw new StaveError(
      "CONFIG_INVALID",
      `${path} is not a Spack installation: ${join(root, VERSION_FILE)} has no version`,
      {
        subject: path,
        hint: from === "SPACK_ROOT" ? "correct or unset SPACK_ROOT" : "name the folder that contains bin/spack",
      },
    );
  return { root, version, style: styleOf(version), from };
}

const VERSION_FILE = "lib/spack/spack/__init__.py";

// Like Spack's script, resolve the real path: a link on the PATH works too.
function rootOf(program: string): string | undefined {
  try {
    return dirname(dirname(realpathSync(program)));
  } catch {
    return undefined;
  }
}

function versionOf(root: string): string | undefined {
  let text: string;
  try {
    const file = join(root, VERSION_FILE);
    if (statSync(file).size > 65536) return undefined;
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  const [, version] = /^__version__ = ["'](\d+\.\d+[\w.+-]{0,40})["']/m.exec(text) ?? [];
  if (version !== undefined) return version;
  const [, numbers] = /^spack_version_info = \((\d+, ?\d+(?:, ?\d+)*)\)/m.exec(text) ?? [];
  return numbers?.split(/, ?/).join(".");
}

function styleOf(version: string): ScopeStyle {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 1) return "platform";
  return major === 1 && minor === 0 ? "include" : "nested";
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
