// `search`: finds packages of build caches by name or description.
import { aggregate } from "../../errors.ts";
import { listAll } from "../../ops/cache/list.ts";
import { type SearchReport, searchPackages } from "../../ops/cache/search.ts";
import { installHost } from "../from-spack/install-host.ts";
import { descriptionsFor } from "../from-spack/package-texts.ts";
import { checkCache, checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions } from "./common.ts";
import { type CacheArgument, openingOf, openToRead, SPACK, type SpackOptions } from "./open-cache.ts";

/** Where to search. */
export interface SearchOptions extends CommonOptions, SpackOptions {
  /** Search specs for any machine, not only for this one. */
  readonly anyArchitecture?: boolean | undefined;
}

/** Finds packages by name or description, the best first. Throws if one of the caches cannot be read. */
export async function search(
  text: string,
  caches?: CacheArgument | readonly CacheArgument[],
  options: SearchOptions = {},
): Promise<SearchReport> {
  checkText("search: the text", text);
  if (caches !== undefined) for (const cache of [caches].flat()) checkCache("search: the cache", cache);
  checkOptions("search", options, { ...COMMON, ...SPACK, anyArchitecture: "boolean" });
  const { anyArchitecture, signal } = options;
  signal?.throwIfAborted();
  const opening = openingOf(options);
  const files = opening.files();
  await using opened = await openToRead(caches, opening);
  const host = anyArchitecture ? undefined : installHost(files);
  const listed = await listAll(opened.caches, { queries: [], host, signal });
  if (listed.failures.length > 0) throw aggregate([...listed.failures], "caches");
  const { cache, specs, otherArchitectures } = listed;
  return {
    cache,
    text,
    packages: searchPackages(specs, text.trim(), await descriptionsFor(files)),
    otherArchitectures,
  };
}
