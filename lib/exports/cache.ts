/**
 * The specs and the index of a build cache, over a target; how layers are compressed.
 *
 * @module stave/cache
 */

export type {
  Abilities,
  CachedArchive,
  CachedSpec,
  CacheListing,
  FetchSpecOptions,
  FindSpecOptions,
  ImageCache,
  IndexedCache,
  OriginalSpec,
  ReadCache,
  ReadImageCache,
  ReadIndexOptions,
  SpecImage,
  WriteIndexOptions,
} from "../cache/cache.ts";
export type { CacheIndex, IndexProblem, StoredIndex } from "../cache/index-read.ts";
export {
  type CheckIndexOptions,
  checkIndex,
  type IndexReport,
  type SkippedTag,
  type UpdateIndexOptions as UpdateCacheIndexOptions,
  updateIndex as updateCacheIndex,
} from "../cache/index-update.ts";
export type { IndexText, WrittenRecord } from "../cache/index-write.ts";
export type { KnownRecords, NewNodes } from "../cache/new-nodes.ts";
export { type ContentGuard, OciCache, type OciCacheOptions, ReadOciCache } from "../cache/oci-cache.ts";
export type { IndexRecord, NodeRecord } from "../cache/record.ts";
export type {
  PrunableCache,
  SpecStorage,
  StoredSpec,
  UnusedBlob,
  UnusedOptions,
} from "../cache/spec-storage.ts";
export type { TaggedSpec } from "../cache/spec-tag.ts";
export { type Compression, formatCompression, parseCompression } from "../image/pack/compression.ts";
export type {
  ObjectContent,
  ObjectInfo,
  ObjectOptions,
  OpenLatestOptions,
  OpenObject,
  PlacedObject,
  ReadObjects,
} from "../objects/objects.ts";
export { DiskCache, type DiskCacheOptions, type StoreWatcher } from "../util/disk-cache.ts";
export type { Expectation } from "../util/stream.ts";
