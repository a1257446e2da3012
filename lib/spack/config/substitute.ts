// Replaces `$spack`, `$user`, `~` and environment variables in configured paths as Spack's `util/path.py` does. Unknown
// variables stay as written.
import { dirname, isAbsolute, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { withoutTrailing } from "../../util/without-trailing.ts";
import { base32Hash } from "../spec/dag-hash.ts";
import { familyOf } from "../spec/microarchitecture.ts";
import type { Place } from "../text/yaml.ts";
import { expandUser, type Host } from "./machine.ts";
import { type Installation, shortVersion } from "./spack-installation.ts";

/** The values of configuration variables. */
export interface Substitutions {
  readonly host: Host;
  readonly installation?: Installation | undefined;
  /** The folder of the active environment. */
  readonly environment?: string | undefined;
}

/** Replaces Spack's own variables, then environment variables, then a leading `~`. */
export function substitute(text: string, context: Substitutions): string {
  const own = text.replace(/\$(\w+)\b|\$\{(\w+)\}/g, (whole, bare?: string, braced?: string) => {
    const name = (bare ?? braced ?? "").toLowerCase();
    return (Object.hasOwn(OWN, name) ? OWN[name]?.(context) : undefined) ?? whole;
  });
  const { env } = context.host;
  const expanded = own.replace(/\$(\w+)|\$\{([^}$]+)\}/g, (whole, bare?: string, braced?: string) => {
    const name = bare ?? braced ?? "";
    return (Object.hasOwn(env, name) ? env[name] : undefined) ?? whole;
  });
  return expandUser(expanded, context.host);
}

/**
 * Makes a configured path absolute: replaces variables, strips `file://`, and resolves a relative path against the
 * folder of its file (or the working folder if it is in none). URLs of other schemes stay.
 */
export function canonicalPath(text: string, place: Place | undefined, context: Substitutions): string {
  let path = substitute(text, context);
  const scheme = schemeOf(path);
  if (scheme === "file") path = fromFileUrl(path);
  else if (scheme !== undefined) return path;
  if (isAbsolute(path)) return trimmed(normalize(path));
  return trimmed(resolve(place && isAbsolute(place.file) ? dirname(place.file) : context.host.cwd, path));
}

/** The scheme of a URL in lower case; undefined for a path. */
export function schemeOf(text: string): string | undefined {
  return /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
}

/** The names of variables left unreplaced in a path. */
export function unresolved(path: string): string[] {
  return [...path.matchAll(/\$\w+|\$\{\w+\}/g)].map(([name]) => name);
}

const OWN: Readonly<Record<string, (context: Substitutions) => string | undefined>> = {
  spack: ({ installation }) => installation?.root,
  user: ({ host }) => host.user,
  tempdir: ({ host }) => host.env["TMPDIR"] || host.env["TEMP"] || host.env["TMP"] || "/tmp",
  user_cache_path: ({ host }) => trimmed(expandUser(host.env["SPACK_USER_CACHE_PATH"] || "~/.spack", host)),
  spack_instance_id: ({ installation }) => installation && base32Hash(installation.root).slice(0, 7),
  architecture: ({ host }) => architecture(host),
  arch: ({ host }) => architecture(host),
  platform: ({ host }) => host.platform,
  operating_system: ({ host }) => host.os,
  os: ({ host }) => host.os,
  target: ({ host }) => host.target,
  target_family: ({ host }) => familyOf(host.target ?? host.machine),
  date: ({ host }) => host.date,
  env: ({ environment }) => environment,
  spack_short_version: ({ installation }) => installation && shortVersion(installation.version),
};

function architecture({ platform, os, target }: Host): string | undefined {
  return os === undefined || target === undefined ? undefined : `${platform}-${os}-${target}`;
}

const trimmed = (path: string): string => (path.length > 1 ? withoutTrailing(path, "/") : path);

function fromFileUrl(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return url.replace(/^file:(?:\/\/)?/i, "");
  }
}
