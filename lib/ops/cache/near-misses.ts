// What was probably meant by a query that matches nothing in some caches.
import type { ReadCache } from "../../cache/cache.ts";
import { isStaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecQuery } from "../../spack/query/query.ts";
import { similarNames } from "../../spack/query/similar-names.ts";
import type { OperationOptions } from "../../target/target.ts";

/** The most names in one hint. */
const SHOWN = 5;

type Listed = Pick<ReadCache, "can" | "list" | "readIndex">;

/**
 * A hint for a query that matches nothing: the versions that are there, or similar names. Undefined if there is nothing
 * like it, or if no cache can tell.
 */
export async function nearMisses(
  caches: readonly Listed[],
  { name }: SpecQuery,
  options: OperationOptions,
): Promise<string | undefined> {
  if (name === undefined) return undefined;
  const specs: { readonly name: string; readonly version: string }[] = [];
  for (const cache of caches) specs.push(...(await specsOf(cache, options)));
  const same = specs.filter((spec) => spec.name === name).map(({ version }) => `${name}@${version}`);
  if (same.length > 0) return `there is ${shown([...new Set(same)].toSorted())}`;
  const similar = similarNames(
    name,
    specs.map((spec) => spec.name),
  );
  return similar.length === 0 ? undefined : `did you mean ${shown(similar)}?`;
}

const shown = (names: readonly string[]): string => {
  const some = names.slice(0, SHOWN).map((name) => printable(name, { most: 80 }));
  return names.length > SHOWN ? `${some.join(", ")} or ${names.length - SHOWN} more` : some.join(" or ");
};

// The error that is being explained matters more than one of the explanation.
async function specsOf(cache: Listed, options: OperationOptions) {
  try {
    const index = await cache.readIndex(options);
    if (index !== undefined) return [...index.records.values()].filter((record) => record.inBuildcache);
    return cache.can.list ? [...(await cache.list(options)).specs.values()] : [];
  } catch (error) {
    if (!isStaveError(error) || options.signal?.aborted) throw error;
    return [];
  }
}
