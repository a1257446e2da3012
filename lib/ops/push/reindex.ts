// Updates the index of a cache after a push to it.
import type { IndexedCache } from "../../cache/cache.ts";
import { type IndexReport, updateIndex } from "../../cache/index-update.ts";
import { isStaveError, type StaveError } from "../../errors.ts";
import type { SpecGraph, SpecNode } from "../../spack/spec/node.ts";
import type { Store } from "../../spack/store/store.ts";
import type { ProgressSink } from "../../util/progress.ts";
import type { PushedSpec } from "./report.ts";

/** What an index update needs of a push. */
export interface ReindexOptions {
  readonly cache: IndexedCache;
  readonly store: Store;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ProgressSink | undefined;
}

/**
 * Updates the index; the specs that were just pushed are not read again. A failure is one failure among others, because
 * the specs have been pushed: it is added to `failures`.
 */
export async function reindex(
  { cache, store, signal, progress }: ReindexOptions,
  { specs, failures }: { readonly specs: readonly PushedSpec[]; readonly failures: StaveError[] },
): Promise<IndexReport | undefined> {
  const { graph } = store.database;
  const known = new Map<string, { root: SpecNode; graph: SpecGraph }>();
  for (const { hash, tag, manifest } of specs) {
    const root = manifest === undefined ? undefined : graph.get(hash);
    if (root) known.set(tag, { root, graph });
  }
  try {
    return await updateIndex(cache, { known, signal, onProgress: progress });
  } catch (error) {
    if (!isStaveError(error) || signal?.aborted) throw error;
    failures.push(error);
    return undefined;
  }
}
