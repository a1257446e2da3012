// From a CACHE argument to an open build cache: a URL, a directory, or the name of a mirror in Spack's configuration. The
// one place that knows, for every verb that reads or writes a cache.
import { resolve } from "node:path";
import { Keychain } from "../../auth/keychain.ts";
import { OciCache, type OciCacheOptions, ReadOciCache } from "../../cache/oci-cache.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { formatLocation, isPath, type Location, namesPlace, parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { redactUserInfo } from "../../printable/secret.ts";
import { type Direction, isOciUrl, type Mirror } from "../../spack/config/mirror.ts";
import { findMirror } from "../../spack/config/mirror-lookup.ts";
import { isSpecFile } from "../../spack/query/spec-words.ts";
import { emptyTarget } from "../../target/empty-target.ts";
import { isLayoutFolder } from "../../target/layout/layout-index.ts";
import { diskCache } from "../machine/cache-folder.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { configuredNetwork } from "./configured-network.ts";
import { keychainOptions, Opener } from "./open.ts";
import type { CommonFlags } from "./shared-flags.ts";
import { SpackFiles, type SpackFlags } from "./spack-options.ts";

/** Where a cache is when neither an argument nor $STAVE_CACHE says so. */
export const DEFAULT_CACHE = "oci-layout:./stave-cache";

/** How arguments describe a CACHE in help texts. */
export const CACHE_ARGUMENT =
  "oci://HOST/REPO, oci+http://HOST/REPO, oci-layout:DIR, a path or a mirror's name (default: $STAVE_CACHE, else the mirrors of Spack's configuration, else ./stave-cache)";

/** A cache that was named. */
export interface CacheChoice {
  readonly location: Location;
  /** The mirror of Spack's configuration that was named, whose credentials count. */
  readonly mirror: Mirror | undefined;
}

const URL_CACHE = /^(?:file|https?|s3|gs|sftp|ftp):/;

/**
 * What a CACHE argument means; without one $STAVE_CACHE, else the default. A mirror has one URL to fetch from and one to push
 * to. Throws USAGE for a mirror that is not configured and for one image of a cache, UNSUPPORTED for caches that are no
 * OCI repository, REFERENCE_INVALID.
 */
export function cacheLocation(
  text: string | undefined,
  direction: Direction,
  context: Context,
  flags: SpackFlags,
): CacheChoice {
  const named = text ?? (context.env["STAVE_CACHE"] || DEFAULT_CACHE);
  // A mirror's name has neither the colon of a scheme nor a slash.
  const mirror = /[/:]/.test(named) || isPath(named) ? undefined : mirrorNamed(named, context, flags);
  const url = mirror?.url(direction) ?? named;
  if (URL_CACHE.test(url) || (mirror !== undefined && !isOciUrl(url)))
    throw new StaveError("UNSUPPORTED", `${printable(url.replace(/\/\/[^/]*@/, "//***@"))} is no OCI build cache`, {
      subject: named,
      hint: "name an oci:// registry or an oci-layout: directory",
    });
  const location = parseLocation(url);
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  if (tag !== undefined || digest !== undefined)
    throw new StaveError("USAGE", `expected a cache, not one image of it: ${formatLocation(location)}`, {
      hint: "leave the tag and the digest out",
    });
  return { location, mirror };
}

// What comes before the first slash of a registry's reference; a package name has neither a dot nor a colon nor a port.
const HOST = /^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?|[A-Za-z0-9-]+:\d+|localhost|\[[0-9a-fA-F:]+\](?::\d+)?)\//;

/**
 * Parts the arguments of a verb that takes `[CACHE] [SPEC…]`: the first one is the cache when it is a URL, a path, a
 * registry's repository, or the name of a mirror. `/abc123` is a hash and `./x.json` a spec file, unless there is an image
 * layout in that place.
 */
export function splitCache(
  args: readonly string[],
  mirrors: readonly Mirror[],
  cwd: string,
): { cache: string | undefined; specs: readonly string[] } {
  const [first, ...rest] = args;
  if (first === undefined) return { cache: undefined, specs: [] };
  const mayBeSpec = /^\/[a-z0-9]+$/.test(first) || isSpecFile(first);
  const isCache =
    (mayBeSpec ? isLayoutFolder(resolve(cwd, first)) : namesPlace(first)) ||
    HOST.test(first) ||
    mirrors.some(({ name }) => name === first);
  return isCache ? { cache: first, specs: rest } : { cache: undefined, specs: args };
}

function mirrorNamed(name: string, context: Context, flags: SpackFlags): Mirror {
  try {
    return findMirror(name, new SpackFiles(context, flags).discovery.configuration);
  } catch (error) {
    if (!isStaveError(error, "USAGE")) throw error;
    throw error.with({ hint: `for a directory write oci-layout:${name}` });
  }
}

/** An open cache; whoever opened it disposes of it. */
export interface OpenedCache<C> {
  readonly cache: C;
  readonly location: Location;
  readonly mirror: Mirror | undefined;
  readonly opener: Opener;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What opening a cache needs of a verb. */
export interface CacheRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: CommonFlags & SpackFlags;
  /** What the flags lead to, where that is known already. */
  readonly files?: SpackFiles;
}

/**
 * The names of the mirrors that are meant when no cache is named: all OCI mirrors that may hold binaries, in the order in which
 * Spack asks them; to push to, the one with `autopush`, else the one with `push`. None when $STAVE_CACHE names a cache. Notes
 * which are used, and which cannot be.
 */
export function defaultMirrors(direction: Direction, run: CacheRun): string[] {
  const { context, output, flags } = run;
  if (context.env["STAVE_CACHE"]) return [];
  const all = (run.files ?? new SpackFiles(context, flags)).discovery.mirrors.filter(({ hasBinaries }) => hasBinaries);
  const pushed = all.find(({ isAutopush }) => isAutopush) ?? all.find(({ hasPush }) => hasPush);
  const meant = direction === "fetch" ? all : pushed ? [pushed] : [];
  const shown = (mirror: Mirror): string =>
    printable(`${mirror.name} (${redactUserInfo(mirror.url(direction))})`, { most: 300 });
  const [usable, others] = [true, false].map((isUsable) =>
    meant.filter((mirror) => isOciUrl(mirror.url(direction)) === isUsable),
  ) as [Mirror[], Mirror[]];
  if (others.length > 0) output.note(`not used, because only OCI caches can be: ${others.map(shown).join(", ")}`);
  if (usable.length > 0)
    output.note(`using ${usable.length === 1 ? "the mirror" : "the mirrors"} ${usable.map(shown).join(", ")}`);
  return usable.map(({ name }) => name);
}

/** The one cache of a verb that reads a single one: as named, else the first of the mirrors. */
function oneOf(text: string | undefined, direction: Direction, run: CacheRun): string | undefined {
  if (text !== undefined) return text;
  const [first, ...more] = defaultMirrors(direction, run);
  if (first !== undefined && more.length > 0)
    run.output.note(`only ${printable(first)} is asked: name another one to ask it`);
  return first;
}

/** Opens a cache to read from it. Throws as `cacheLocation`, and NOT_FOUND when a directory is not there. */
export async function readCache(text: string | undefined, run: CacheRun): Promise<OpenedCache<ReadOciCache>> {
  const { location, mirror, opener } = openerFor(oneOf(text, "fetch", run), "fetch", run);
  const target = await opener.read(location).catch((error: unknown) => {
    throw isStaveError(error, "NOT_FOUND") && isUnnamed(text, run) ? error.with({ hint: NAME_ONE }) : error;
  });
  const cache = new ReadOciCache(target, memoryFor(location, run));
  return { cache, location, mirror, opener, [Symbol.asyncDispose]: () => opener.close() };
}

// Nobody has said which cache: what is missing then is its name.
const isUnnamed = (text: string | undefined, { context }: CacheRun): boolean =>
  text === undefined && !context.env["STAVE_CACHE"];
const NAME_ONE =
  "no cache was named, and this is the default: name one, for instance oci://HOST/REPO or oci-layout:DIR";

/** Opens a cache to see what is in it; a directory that is not there yet is an empty one. */
export async function readCacheIfThere(text: string | undefined, run: CacheRun): Promise<OpenedCache<ReadOciCache>> {
  const { location, mirror, opener } = openerFor(oneOf(text, "push", run), "push", run);
  const target = await opener.read(location).catch((error: unknown) => {
    if (location.kind === "layout" && isStaveError(error, "NOT_FOUND")) return emptyTarget(formatLocation(location));
    throw error;
  });
  return {
    cache: new ReadOciCache(target, memoryFor(location, run)),
    location,
    mirror,
    opener,
    [Symbol.asyncDispose]: () => opener.close(),
  };
}

/** How a cache is opened that is to be changed. */
export interface WriteCacheOptions {
  /** A directory is made when it is not there. */
  readonly create: boolean;
  /** Without a name the mirror to push to is meant, when one is configured. */
  readonly mayUseMirror?: boolean;
  /** What may fail and must come before anything is made. */
  readonly first?: (opener: Opener) => Promise<void>;
}

/** Opens a cache to change it. */
export async function writeCache(
  text: string | undefined,
  run: CacheRun,
  options: WriteCacheOptions,
): Promise<OpenedCache<OciCache>> {
  const named = options.mayUseMirror ? oneOf(text, "push", run) : text;
  const { location, mirror, opener } = openerFor(named, "push", run);
  await options.first?.(opener);
  const cache = new OciCache(
    options.create ? await opener.write(location) : await opener.change(location),
    memoryFor(location, run),
  );
  return { cache, location, mirror, opener, [Symbol.asyncDispose]: () => opener.close() };
}

function openerFor(text: string | undefined, direction: Direction, run: CacheRun): CacheChoice & { opener: Opener } {
  const { context, output, flags } = run;
  const { location, mirror } = cacheLocation(text, direction, context, flags);
  const files = (): SpackFiles => run.files ?? new SpackFiles(context, flags);
  // A directory is not spoken to.
  const network = location.kind === "registry" ? configuredNetwork(flags, files().discovery.network, output) : flags;
  const explicit = mirror === undefined ? [] : mirrorCredentials(mirror, location, direction, context);
  const keychain = new Keychain({
    ...keychainOptions(context, flags),
    explicit,
    onWarning: (error) => output.warn(error.message),
  });
  return { location, mirror, opener: new Opener(context, output, network, keychain) };
}

// What is in a directory need not be kept a second time.
function memoryFor({ kind }: Location, { context }: CacheRun): OciCacheOptions {
  return kind === "layout" ? {} : { memory: diskCache(context) };
}

// What a mirror is configured with counts before anything else, as it does for Spack.
function mirrorCredentials(mirror: Mirror, location: Location, direction: Direction, { env }: Context) {
  if (location.kind !== "registry") return [];
  const { pair } = direction === "push" ? mirror.pushCredentials(env) : mirror.credentials("fetch", env);
  if (pair === undefined) return [];
  const from = `the mirror ${mirror.name}`;
  return [{ registry: location.reference.registry, username: pair.id, password: pair.secret, from }];
}
