// What a CACHE argument means: a URL, a directory, or the name of a mirror in Spack's configuration. Used by the
// library and by every verb that reads or writes a cache.
import { resolve } from "node:path";
import type { HostCredential } from "../../auth/keychain.ts";
import type { OciCacheOptions } from "../../cache/oci-cache.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { formatLocation, isPath, namesPlace, parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import type { Direction, Mirror } from "../../spack/config/mirror.ts";
import { findMirror } from "../../spack/config/mirror-lookup.ts";
import { isSpecFile } from "../../spack/query/spec-words.ts";
import { isLayoutFolder } from "../../target/layout/layout-folder.ts";
import type { SpackFiles } from "../from-spack/spack-files.ts";
import { diskCache } from "../machine/cache-folder.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { type CacheLocation, isMirrorFolder, parseMirror } from "./mirror-location.ts";

/** The cache to use if neither an argument nor $STAVE_CACHE names one. */
export const DEFAULT_CACHE = "oci-layout:./stave-cache";

/** The cache that an argument names. */
export interface CacheChoice {
  readonly location: CacheLocation;
  /** The mirror of Spack's configuration, if one was named; its credentials are used. */
  readonly mirror: Mirror | undefined;
}

/**
 * Resolves a CACHE argument; without one, $STAVE_CACHE or the default. A mirror may have different URLs for fetch and
 * push. Throws USAGE for an unknown mirror and for a single image of a cache, UNSUPPORTED for a URL that cannot be
 * read, REFERENCE_INVALID.
 */
export function cacheLocation(
  text: string | undefined,
  direction: Direction,
  context: Surroundings,
  files: () => SpackFiles,
): CacheChoice {
  const named = text ?? (context.env["STAVE_CACHE"] || DEFAULT_CACHE);
  // A mirror's name has neither the colon of a scheme nor a slash.
  const mirror = /[/:]/.test(named) || isPath(named) ? undefined : mirrorNamed(named, files(), context.cwd);
  const url = mirror?.url(direction) ?? named;
  const place = parseMirror(url, context.cwd);
  if (place !== undefined) return { location: place, mirror };
  const location = parseLocation(url);
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  if (tag !== undefined || digest !== undefined)
    throw new StaveError("USAGE", `expected a cache, not one image of it: ${formatLocation(location)}`, {
      hint: "leave the tag and the digest out",
    });
  return { location, mirror };
}

// The host in a registry reference, up to the first slash. A package name has no dot and no port.
const HOST = /^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?|[A-Za-z0-9-]+:\d+|localhost|\[[0-9a-fA-F:]+\](?::\d+)?)\//;

/** True if a word of a command line can only be a cache: a URL, a path, or a registry's repository. */
export function isCacheWord(text: string, cwd: string): boolean {
  // `/abc123` is a hash and `./x.json` a spec file, unless an image layout exists there.
  const mayBeSpec = /^\/[a-z0-9]+$/.test(text) || isSpecFile(text) || /\.ya?ml$/.test(text);
  return (mayBeSpec ? isLayoutFolder(resolve(cwd, text)) : namesPlace(text)) || HOST.test(text);
}

/** Splits the arguments of a verb that takes `[CACHE] [SPEC…]`: the first one may be the name of a mirror. */
export function splitCache(
  args: readonly string[],
  mirrors: readonly Mirror[],
  cwd: string,
): { cache: string | undefined; specs: readonly string[] } {
  const [first, ...rest] = args;
  if (first === undefined) return { cache: undefined, specs: [] };
  const isCache = isCacheWord(first, cwd) || mirrors.some(({ name }) => name === first);
  refuseCaches(rest, cwd, () => "the cache goes before the specs; for install, as in Spack, -m is `multiple`");
  return isCache ? { cache: first, specs: rest } : { cache: undefined, specs: args };
}

/** Throws USAGE if one of several specs is a cache, with a hint that says where the cache goes. */
function refuseCaches(specs: readonly string[], cwd: string, hintFor: (cache: string) => string): void {
  const cache = specs.find((text) => isCacheWord(text, cwd));
  if (cache === undefined) return;
  const shown = printable(cache);
  throw new StaveError("USAGE", `${shown} is a cache, expected a spec`, { subject: cache, hint: hintFor(shown) });
}

/** Checks the SPEC arguments of a verb that takes its cache with -m. Throws USAGE for a cache among them. */
export function onlySpecs(specs: readonly string[], cwd: string): readonly string[] {
  refuseCaches(specs, cwd, (cache) => `this verb takes the cache as -m ${cache}`);
  return specs;
}

function mirrorNamed(name: string, files: SpackFiles, cwd: string): Mirror {
  try {
    return findMirror(name, files.discovery.configuration);
  } catch (error) {
    if (!isStaveError(error, "USAGE")) throw error;
    const kind = isMirrorFolder(resolve(cwd, name)) ? "./" : "oci-layout:";
    throw error.with({ hint: `for a directory write ${kind}${name}` });
  }
}

/** Where documents of a cache are stored between runs; content of a directory is not stored twice. */
export function memoryFor({ kind }: CacheLocation, context: Surroundings): OciCacheOptions {
  return kind === "layout" ? {} : { memory: diskCache(context) };
}

/** The configured credentials of a mirror; as in Spack, they take precedence over all others. */
export function mirrorCredentials(
  { location, mirror }: CacheChoice,
  direction: Direction,
  { env }: Surroundings,
): HostCredential[] {
  if (mirror === undefined) return [];
  if (location.kind !== "registry") return [];
  const { pair } = direction === "push" ? mirror.pushCredentials(env) : mirror.credentials("fetch", env);
  if (pair === undefined) return [];
  const from = `the mirror ${mirror.name}`;
  return [{ registry: location.reference.registry, username: pair.id, password: pair.secret, from }];
}
