// `list`: lists the specs of build caches.
import { type ListAllReport, listAll } from "../../ops/cache/list.ts";
import { installHost } from "../from-spack/install-host.ts";
import { checkCache, checkOptions } from "./check-options.ts";
import { COMMON, type CommonOptions } from "./common.ts";
import { type CacheArgument, openingOf, openToRead, SPACK, type SpackOptions } from "./open-cache.ts";

/** What to list. */
export interface ListOptions extends CommonOptions, SpackOptions {
  /** Queries in Spack's syntax; a spec that satisfies any is listed. Default: all. */
  readonly specs?: readonly string[] | undefined;
  /** List specs for any machine, not only for this one. */
  readonly anyArchitecture?: boolean | undefined;
  /** Read the tags instead of the index. */
  readonly fromTags?: boolean | undefined;
  /** Only specs that no other spec of the cache depends on; `false` for only the others. */
  readonly roots?: boolean | undefined;
}

/**
 * Lists the specs of build caches, each once, as `stave list` does. Caches that cannot be read are in `failures` of the
 * report. Throws if none can be read.
 */
export async function list(
  caches?: CacheArgument | readonly CacheArgument[],
  options: ListOptions = {},
): Promise<ListAllReport> {
  if (caches !== undefined) for (const cache of [caches].flat()) checkCache("list: the cache", cache);
  checkOptions("list", options, {
    ...{ ...COMMON, ...SPACK },
    ...{ specs: "strings", anyArchitecture: "boolean", fromTags: "boolean", roots: "boolean" },
  });
  const { specs = [], anyArchitecture, fromTags, roots, signal } = options;
  signal?.throwIfAborted();
  const opening = openingOf(options);
  const files = opening.files();
  const queries = await files.queries(specs);
  await using opened = await openToRead(caches, opening);
  const host = anyArchitecture ? undefined : installHost(files);
  return await listAll(opened.caches, { queries, host, fromTags, roots, signal });
}
