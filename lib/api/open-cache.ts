// `openCache`, and the operations on a build cache that need no store: `list` and `updateIndex`.
import { checkIndex, type IndexReport, updateIndex as reindex } from "../cache/index-update.ts";
import { OciCache } from "../cache/oci-cache.ts";
import type { Location } from "../oci/reference.ts";
import { type ListReport, list as listCache } from "../ops/cache/list.ts";
import { cacheLocation, memoryFor, mirrorCredentials } from "./cache-choice.ts";
import { checkOptions, checkText, type Shape } from "./check.ts";
import { COMMON, type CommonOptions, connect, surroundingsOf } from "./common.ts";
import { installHost } from "./install-roots.ts";
import { SpackFiles, type SpackFlags } from "./spack-files.ts";
import type { Surroundings } from "./surroundings.ts";

/** Where Spack's files are. The defaults are those of the command line. */
export interface SpackOptions {
  /** The name or folder of an environment; `false` for none. Default: `$SPACK_ENV`. */
  readonly environment?: string | false | undefined;
  /** More configuration scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** Single settings, `config:key:value`. */
  readonly settings?: readonly string[] | undefined;
  /** Recorded paths are resolved below this folder. */
  readonly sysroot?: string | undefined;
  /** The Spack installation. Default: `$SPACK_ROOT`, otherwise the one on the PATH. */
  readonly spack?: string | undefined;
}

/** The types of these options. */
export const SPACK: Shape<SpackOptions> = {
  environment: "any",
  scopes: "strings",
  settings: "strings",
  sysroot: "string",
  spack: "string",
};

/** Spack's files, located by options. */
export function spackFiles(options: SpackOptions, around: Surroundings, store?: string): SpackFiles {
  const { environment, scopes, settings, sysroot, spack } = options;
  const flags: SpackFlags = {
    ...(store !== undefined && { store }),
    ...(environment !== undefined && { env: environment }),
    ...(scopes !== undefined && { scope: [...scopes] }),
    ...(settings !== undefined && { config: [...settings] }),
    ...(sysroot !== undefined && { sysroot }),
    ...(spack !== undefined && { spack }),
  };
  return new SpackFiles(around, flags);
}

/** How to open a cache. */
export interface OpenCacheOptions extends CommonOptions, SpackOptions {
  /** Create a directory that does not exist. */
  readonly create?: boolean | undefined;
}

/** An open build cache. Close it, or declare it with `await using`. */
export interface OpenCache extends AsyncDisposable {
  readonly cache: OciCache;
  readonly location: Location;
  /** The name of the mirror of Spack's configuration, if it is one. */
  readonly mirror: string | undefined;
  close(): Promise<void>;
}

/**
 * Opens `oci://HOST/REPO`, `oci-layout:DIR` or a mirror of Spack's configuration; by default `$STAVE_CACHE`, otherwise
 * `oci-layout:./stave-cache`. Throws USAGE, REFERENCE_INVALID, UNSUPPORTED, and NOT_FOUND for a directory that does not
 * exist.
 */
export async function openCache(text?: string, options: OpenCacheOptions = {}): Promise<OpenCache> {
  if (text !== undefined) checkText("openCache: the cache", text);
  checkOptions("openCache", options, { ...COMMON, ...SPACK, create: "boolean" });
  return await openChecked(text, options);
}

/** Opens a cache with options that were already checked. */
export async function openChecked(text: string | undefined, options: OpenCacheOptions): Promise<OpenCache> {
  options.signal?.throwIfAborted();
  const around = surroundingsOf(options);
  const direction = options.create ? "push" : "fetch";
  const choice = cacheLocation(text, direction, around, () => spackFiles(options, around));
  const { location, mirror } = choice;
  const connection = connect(options, around, mirrorCredentials(choice, direction, around));
  const close = (): Promise<void> => connection.close();
  try {
    const target = options.create ? await connection.write(location) : await connection.change(location);
    const cache = new OciCache(target, memoryFor(location, around));
    return { cache, location, mirror: mirror?.name, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What to list. */
export interface ListOptions extends CommonOptions, SpackOptions {
  /** Queries in Spack's syntax; a spec that satisfies any is listed. Default: all. */
  readonly specs?: readonly string[] | undefined;
  /** List specs for any machine, not only for this one. */
  readonly anyArchitecture?: boolean | undefined;
  /** Read the tags instead of the index. */
  readonly fromTags?: boolean | undefined;
}

/** Lists the specs of a build cache, as `stave list` does. Throws the errors that `stave list` prints. */
export async function list(cache: string | OpenCache, options: ListOptions = {}): Promise<ListReport> {
  checkOptions("list", options, {
    ...COMMON,
    ...SPACK,
    ...{ specs: "strings", anyArchitecture: "boolean", fromTags: "boolean" },
  });
  const around = surroundingsOf(options);
  const { specs = [], anyArchitecture, fromTags, signal } = options;
  const files = spackFiles(options, around);
  const queries = await files.queries(specs);
  const host = anyArchitecture ? undefined : installHost(files);
  return await withCache(cache, options, "list", (opened) => listCache(opened, { queries, host, fromTags, signal }));
}

/** How to update an index. */
export interface UpdateIndexOptions extends CommonOptions, SpackOptions {
  /** Read every spec again. */
  readonly full?: boolean | undefined;
  /** Only compare, and write nothing. */
  readonly check?: boolean | undefined;
}

/** Updates the index of a build cache, as `stave index` does. Throws the errors that `stave index` prints. */
export async function updateIndex(cache: string | OpenCache, options: UpdateIndexOptions = {}): Promise<IndexReport> {
  checkOptions("updateIndex", options, { ...COMMON, ...SPACK, full: "boolean", check: "boolean" });
  const { full, check, signal, onProgress } = options;
  return await withCache(cache, options, "updateIndex", (opened) =>
    (check ? checkIndex : reindex)(opened, { full, signal, onProgress }),
  );
}

/** Runs work with a cache that the caller opened, or that is opened and closed for it. */
async function withCache<T>(
  cache: string | OpenCache,
  options: CommonOptions & SpackOptions,
  name: string,
  work: (cache: OciCache) => Promise<T>,
): Promise<T> {
  if (typeof cache === "object" && cache !== null) return await work(cache.cache);
  checkText(`${name}: the cache`, cache);
  await using opened = await openChecked(cache, options);
  return await work(opened.cache);
}
