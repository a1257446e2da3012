// The seam between verbs and build caches: what any cache can be asked for, wherever its specs are stored.
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import type { OperationOptions } from "../target/target.ts";
import type { CacheIndex } from "./index-read.ts";
import type { IndexText } from "./index-write.ts";
import type { TaggedSpec } from "./spec-tag.ts";

/** The specs that a cache lists; none of them was read. */
export interface CacheListing {
  /** By tag. */
  readonly specs: ReadonlyMap<string, TaggedSpec>;
  /** Tags that end like those of specs but are malformed. */
  readonly foreign: readonly string[];
  /** All other tags, such as images of environments and signatures. The index is not included. */
  readonly others: readonly string[];
  readonly hasIndex: boolean;
}

/** The image of one spec, read and verified. */
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
  /** When Spack packed it, in milliseconds since the epoch; undefined if packed by stave or an old Spack. */
  readonly archivedAt: number | undefined;
  /** The environment variables of the image, `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly document: SpecDocument;
}

/** Options for reading a spec. */
export interface FetchSpecOptions extends OperationOptions {
  /** Nodes whose content is already known: their hashes are not recomputed. */
  readonly isKnown?: ((hash: string) => boolean) | undefined;
}

/** A readable build cache. */
export interface ReadCache {
  /** The name as a user would type it. */
  readonly name: string;
  /** Lists the specs once, page by page. Throws NOT_FOUND if the cache does not exist. */
  list(options?: OperationOptions): Promise<CacheListing>;
  /** True if the cache has an image under the tag of a spec; does not read it. */
  has(tag: string, options?: OperationOptions): Promise<boolean>;
  /**
   * Reads and verifies the image of a spec: it must contain the spec that its tag names, nodes must match their hashes,
   * and its archive must be named. Throws NOT_FOUND, or MEDIA_TYPE, CONTENT_INVALID, SPEC_INVALID, TOO_LARGE if it is
   * not a binary of that spec.
   */
  fetchSpec(tag: string, options?: FetchSpecOptions): Promise<CachedSpec>;
  /**
   * Reads the index; undefined if there is none. Invalid records are left out and listed in `problems`. Throws
   * CONTENT_INVALID, MEDIA_TYPE or TOO_LARGE if it is not an index at all.
   */
  readIndex(options?: OperationOptions): Promise<CacheIndex | undefined>;
}

/** Options for writing an index. */
export interface WriteIndexOptions extends OperationOptions {
  /** The index that was read before: what it shares with the new one need not be looked up. */
  readonly replaced?: CacheIndex | undefined;
}

/** A build cache whose index can be written. */
export interface IndexedCache extends ReadCache {
  /**
   * Replaces the index; `replaced` is the one that was read before. Returns true only if it is certain that there was
   * no other write in between. Throws CONFLICT if the cache detects one.
   */
  writeIndex(text: IndexText, options?: WriteIndexOptions): Promise<boolean>;
}
