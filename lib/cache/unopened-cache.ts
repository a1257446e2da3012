// Stands for one of several caches that could not be opened. Every call fails with the reason, so the others are still
// asked, and a spec that none of them has is not reported as absent.
import { isStaveError, type StaveError } from "../errors.ts";
import type {
  Abilities,
  CachedArchive,
  CachedSpec,
  CacheListing,
  IndexedCache,
  KeyedCache,
  MirrorKey,
} from "./cache.ts";
import type { CacheIndex } from "./index-read.ts";
import type { NewNodes } from "./new-nodes.ts";

/** A cache that fails with the same error whatever it is asked for. */
export class UnopenedCache implements IndexedCache, KeyedCache {
  readonly name: string;
  readonly can: Abilities = { list: true, write: false, delete: false, images: false, sign: true };
  /** Why it could not be opened. */
  readonly error: StaveError;

  constructor(name: string, error: StaveError) {
    this.name = name;
    this.error = error;
  }

  list(): Promise<CacheListing> {
    return Promise.reject(this.error);
  }

  has(): Promise<boolean> {
    return Promise.reject(this.error);
  }

  fetchSpec(): Promise<CachedSpec> {
    return Promise.reject(this.error);
  }

  locateArchive(): Promise<CachedArchive> {
    return Promise.reject(this.error);
  }

  fetchNewNodes(): Promise<NewNodes> {
    return Promise.reject(this.error);
  }

  readIndex(): Promise<CacheIndex | undefined> {
    return Promise.reject(this.error);
  }

  writeIndex(): Promise<boolean> {
    return Promise.reject(this.error);
  }

  keys(): Promise<readonly MirrorKey[]> {
    return Promise.reject(this.error);
  }

  storeKeys(): Promise<void> {
    return Promise.reject(this.error);
  }

  blobsOf(): never {
    throw this.error;
  }
}

/** Wraps an error as a cache of this name. Rethrows it without a name, and if it is an interruption or a bug. */
export function unopened(error: unknown, name: string | undefined): UnopenedCache {
  if (name === undefined || !isStaveError(error) || isStaveError(error, "ABORTED", "INTERNAL")) throw error;
  return new UnopenedCache(name, error);
}
