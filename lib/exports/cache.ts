// `stave/cache`: the specs and the index of a build cache, over a target; how layers are compressed.

export type { CachedSpec, CacheListing, IndexedCache, ReadCache } from "../cache/cache.ts";
export type { CacheIndex } from "../cache/index-read.ts";
export { checkIndex, type IndexReport, type UpdateIndexOptions, updateIndex } from "../cache/index-update.ts";
export { OciCache, type OciCacheOptions, ReadOciCache } from "../cache/oci-cache.ts";
export type { IndexRecord } from "../cache/record.ts";
export { type Compression, formatCompression, parseCompression } from "../image/pack/compression.ts";
