// The seam between verbs and build caches: what any cache can be asked for, wherever its specs lie.
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import type { OperationOptions } from "../target/target.ts";
import type { CacheIndex } from "./index-read.ts";
import type { IndexText } from "./index-write.ts";
import type { TaggedSpec } from "./spec-tag.ts";

/** Which specs a cache says it has, from one listing; nothing of them was read. */
export interface CacheListing {
  /** By tag. */
  readonly specs: ReadonlyMap<string, TaggedSpec>;
  /** Tags that end as those of specs do, but are none. */
  readonly foreign: readonly string[];
  /** All other tags: images of environments, signatures. The index is not among them. */
  readonly others: readonly string[];
  readonly hasIndex: boolean;
}

/** The image of one spec, read and checked. */
export interface CachedSpec {
  readonly tag: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** All layers, the spec's own archive last. */
  readonly layers: readonly Descriptor[];
  readonly archive: Descriptor;
  /** The digest of the uncompressed archive. */
  readonly diffId: Digest;
  /** Spack's layout version: 2 before Spack 1.0, 3 since. */
  readonly layoutVersion: number;
  /** When Spack packed it, in milliseconds since the epoch; stave does not say, nor do old Spacks. */
  readonly archivedAt: number | undefined;
  readonly document: SpecDocument;
}

export interface FetchSpecOptions extends OperationOptions {
  /** Nodes whose content is known and will not be used: their hashes are not recomputed. */
  readonly isKnown?: ((hash: string) => boolean) | undefined;
}

/** A build cache that can be read. */
export interface ReadCache {
  /** As a user would type it. */
  readonly name: string;
  /** Asks once, page by page, which specs there are. Throws NOT_FOUND when there is no such cache. */
  list(options?: OperationOptions): Promise<CacheListing>;
  /** Tells whether the cache has an image under the tag of a spec; nothing of it is read. */
  has(tag: string, options?: OperationOptions): Promise<boolean>;
  /**
   * Reads the image of a spec: the spec is the one its tag names, its nodes give their hashes, its archive is named.
   * Throws NOT_FOUND, or MEDIA_TYPE, CONTENT_INVALID, SPEC_INVALID, TOO_LARGE for what is no binary of that spec.
   */
  fetchSpec(tag: string, options?: FetchSpecOptions): Promise<CachedSpec>;
  /**
   * Reads the index; undefined when there is none. Records that are damaged are left out and told in `problems`. Throws
   * CONTENT_INVALID, MEDIA_TYPE or TOO_LARGE for what is no index at all.
   */
  readIndex(options?: OperationOptions): Promise<CacheIndex | undefined>;
}

export interface WriteIndexOptions extends OperationOptions {
  /** The index that was read: what it shares with the new one need not be asked for. */
  readonly replaced?: CacheIndex | undefined;
}

/** A build cache whose index can be written. */
export interface IndexedCache extends ReadCache {
  /**
   * Replaces the index, of which `replaced` was read before. Tells whether it is certain that nobody has written another
   * since then; where that can be known, it throws CONFLICT when somebody has.
   */
  writeIndex(text: IndexText, options?: WriteIndexOptions): Promise<boolean>;
}
