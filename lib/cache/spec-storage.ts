// How a cache stores specs: what a prune needs to know of each, and how it removes and restores them.
import type { Digest } from "../oci/digest.ts";
import type { OperationOptions } from "../target/target.ts";
import type { IndexedCache } from "./cache.ts";

/** What is stored under the tag of a spec, with the data to restore it. */
export interface StoredSpec {
  readonly tag: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** The manifest itself. */
  readonly manifest: string;
  /** Digests of its referrers, such as signatures, which are removed with it. */
  readonly referrers: readonly Digest[];
  /** Milliseconds since it was stored; undefined if unknown. */
  readonly age: number | undefined;
}

/** A blob that nothing uses. */
export interface UnusedBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** What to look for when looking for unused blobs. */
export interface UnusedOptions extends OperationOptions {
  /** Manifests that are about to be removed. */
  readonly gone: ReadonlySet<Digest>;
  /** Only blobs that were last changed before this, in milliseconds since the epoch. */
  readonly before: number;
  /** Called with what makes the answer incomplete. */
  readonly onWarning: (text: string) => void;
}

/** The storage of a cache. */
export interface SpecStorage {
  /** The ages of specs cost nothing to know. */
  readonly isTimed: boolean;
  /** When a spec was stored, as far as that can be known, in milliseconds since the epoch. */
  timeOf(tag: string, options: OperationOptions & { readonly now: number }): Promise<number | undefined>;
  /** The digests that a tag of any kind keeps: its own and, of an index, those that it leads to; none if absent. */
  digestsOf(tag: string, options: OperationOptions): Promise<readonly Digest[]>;
  /** What is stored for a spec; undefined if it is gone. */
  stored(tag: string, options: OperationOptions & { readonly now: number }): Promise<StoredSpec | undefined>;
  /** Tries whether anything can be removed, before anything is. */
  mayRemove(options: OperationOptions): Promise<boolean>;
  /** Removes a spec; false if it is gone, or was stored again in the meantime. Throws UNSUPPORTED. */
  remove(spec: StoredSpec, options: OperationOptions): Promise<boolean>;
  /** Stores a removed spec again. Throws NOT_FOUND if a part of it is gone. */
  restore(
    spec: Pick<StoredSpec, "tag" | "mediaType" | "manifest">,
    from: string,
    options: OperationOptions,
  ): Promise<void>;
  /** The blobs that nothing uses, where the cache does not collect them itself. */
  unused(options: UnusedOptions): Promise<readonly UnusedBlob[]>;
  removeBlob(digest: Digest, options: OperationOptions): Promise<void>;
}

/** A cache from which specs can be removed. */
export interface PrunableCache extends IndexedCache {
  /** Its storage; loaded on demand, because most work on a cache removes nothing. */
  openStorage(): Promise<SpecStorage>;
}

/** True if specs can be removed from a cache. */
export function isPrunable(cache: IndexedCache): cache is PrunableCache {
  return cache.can.delete;
}
