// The seam between verbs and build caches: what any cache can be asked for, wherever its specs are stored.
import { StaveError } from "../errors.ts";
import type { PlacedObject } from "../objects/objects.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { SpecNode } from "../spack/spec/node.ts";
import type { SpecDocument } from "../spack/spec/spec-file.ts";
import type { JsonObject } from "../spack/text/json-value.ts";
import type {
  BlobChecker,
  BlobFetcher,
  BlobPusher,
  OperationOptions,
  PushOutcome,
  ReadTarget,
  Target,
} from "../target/target.ts";
import type { CacheIndex } from "./index-read.ts";
import type { IndexText } from "./index-write.ts";
import type { KnownRecords, NewNodes } from "./new-nodes.ts";
import type { TaggedSpec } from "./spec-tag.ts";

/** What a cache supports. Verbs ask for an ability, never for the kind of cache. */
export interface Abilities {
  /** Its specs can be listed without an index. */
  readonly list: boolean;
  /** Specs and the index can be written. */
  readonly write: boolean;
  /** Specs can be removed. */
  readonly delete: boolean;
  /** Each spec is an image, and there may be other images. */
  readonly images: boolean;
  /** Specs can have gpg signatures, which Spack verifies. */
  readonly sign: boolean;
}

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

/** Where the archive of a spec is; its config was not read. */
export interface CachedArchive {
  readonly tag: string;
  readonly archive: Descriptor;
  /** The number of layers of its dependencies: an image with more of them has a larger graph. */
  readonly dependencyLayerCount: number;
  readonly diffId?: undefined;
  readonly document?: undefined;
}

/** One spec of a cache, read and verified. */
export interface CachedSpec {
  readonly tag: string;
  /** Its archive and, in an image, before it the layers of its dependencies. */
  readonly layers: readonly Descriptor[];
  readonly archive: Descriptor;
  /** The digest of the uncompressed archive, if the cache records it. */
  readonly diffId: Digest | undefined;
  /** Spack's layout version: 2 before Spack 1.0, 3 since. */
  readonly layoutVersion: number;
  /** When Spack packed it, in milliseconds since the epoch; undefined if packed by stave or an old Spack. */
  readonly archivedAt: number | undefined;
  /** The environment variables of an image, `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly document: SpecDocument;
  /** It has a gpg signature, which was checked only if the cache was opened so. */
  readonly isSigned?: boolean;
  /** The files of a mirror that describe it, to be copied as they are. */
  readonly original?: OriginalSpec | undefined;
}

/** How a mirror of the newest layout describes a spec. */
export interface OriginalSpec {
  /** The manifest, signed or not. */
  readonly manifest: Buffer;
  /** The spec that the manifest names, compressed. */
  readonly spec: Buffer;
}

/** The image of one spec, read and verified. */
export interface SpecImage extends CachedSpec {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly diffId: Digest;
  /** The DAG hashes of dependencies that share layers. */
  readonly joined: readonly string[];
}

/** Options for looking up a spec. */
export interface FindSpecOptions extends OperationOptions {
  /** The spec that the tag names, if the caller has it: some caches file a spec under more than its tag tells. */
  readonly node?: SpecNode | undefined;
  /** What the tag was made of, if the caller has no more: suffices for the caches of today's Spack. */
  readonly named?: Pick<SpecNode, "name" | "version" | "hash"> | undefined;
}

/** Options for reading a spec. */
export interface FetchSpecOptions extends FindSpecOptions {
  /** Nodes whose content is already known: their hashes are not recomputed. */
  readonly isKnown?: ((hash: string) => boolean) | undefined;
  /** What `locateArchive` returned for the tag, and need not be read again. */
  readonly archive?: CachedArchive | undefined;
}

/** Options for reading an index. */
export interface ReadIndexOptions extends OperationOptions {
  /**
   * Called at most once, when it is certain which index will be read and before its text is. A listing that is started
   * then cannot be older than the index. Optional for a cache.
   */
  readonly onIdentified?: (() => void) | undefined;
}

/** A readable build cache. */
export interface ReadCache {
  /** The name as a user would type it. */
  readonly name: string;
  readonly can: Abilities;
  /**
   * Lists the specs once, page by page. Throws NOT_FOUND if the cache does not exist, UNSUPPORTED if it cannot be
   * listed.
   */
  list(options?: OperationOptions): Promise<CacheListing>;
  /** True if the cache has the spec of a tag; does not read it. */
  has(tag: string, options?: FindSpecOptions): Promise<boolean>;
  /**
   * Reads and verifies what the cache has for a tag: it must be the spec that the tag names, nodes must match their
   * hashes, and its archive must be named. Throws NOT_FOUND, or MEDIA_TYPE, CONTENT_INVALID, SPEC_INVALID, TOO_LARGE if
   * it is not a binary of that spec.
   */
  fetchSpec(tag: string, options?: FetchSpecOptions): Promise<CachedSpec>;
  /**
   * Locates the archive of a spec without reading its config. The caller must have the spec, and check that the archive
   * contains it. A mirror returns the whole spec, which takes nothing more. Throws what `fetchSpec` throws for what it
   * does read.
   */
  locateArchive(tag: string, options?: FetchSpecOptions): Promise<CachedArchive | CachedSpec>;
  /**
   * Reads a spec for an index: verifies it as `fetchSpec` does, and returns the nodes that are not known. Throws what
   * `fetchSpec` throws.
   */
  fetchNewNodes(tag: string, known: KnownRecords, options?: OperationOptions): Promise<NewNodes>;
  /**
   * Reads the index; undefined if there is none. Invalid records are left out and listed in `problems`. Throws
   * CONTENT_INVALID, MEDIA_TYPE or TOO_LARGE if it is not an index at all.
   */
  readIndex(options?: ReadIndexOptions): Promise<CacheIndex | undefined>;
  /** What to call a cache that was named as a mirror, but is a repository of a registry; undefined if it is not. */
  readonly asRegistry?: ((options?: OperationOptions) => Promise<string | undefined>) | undefined;
  /** Where to fetch the archive and the other layers of a spec that was read from this cache. */
  blobsOf(spec: CachedArchive | CachedSpec): BlobFetcher & BlobChecker & { readonly archive?: PlacedObject };
}

/** A readable build cache of images. */
export interface ReadImageCache extends ReadCache {
  readonly target: ReadTarget;
  fetchSpec(tag: string, options?: FetchSpecOptions): Promise<SpecImage>;
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

/** A writable build cache of images. */
export interface ImageCache extends ReadImageCache, IndexedCache {
  readonly target: Target;
  fetchSpec(tag: string, options?: FetchSpecOptions): Promise<SpecImage>;
}

/** A spec to store: its archive is in the cache already. */
export interface ArchivedSpec {
  readonly node: SpecNode;
  /** The value of `spec` in its spec file. */
  readonly document: JsonObject;
  readonly archive: Pick<Descriptor, "digest" | "size">;
  /** How another mirror describes it; copied as it is, so that a signature survives. */
  readonly original?: OriginalSpec | undefined;
}

/** A writable build cache of archives. */
export interface ArchiveCache extends IndexedCache {
  /** Stores archives by their digests. */
  readonly blobs: BlobPusher & {
    /** Stores the archive of another cache without transferring it; undefined if that is not possible. */
    take(archive: PlacedObject, blob: Descriptor, options?: OperationOptions): Promise<PushOutcome | undefined>;
  };
  /** Makes sure that `putSpec` could sign a spec, if it has to. Throws what opening the signing key throws. */
  prepareToPut(spec: Pick<ArchivedSpec, "original">, options?: OperationOptions): Promise<void>;
  /** Stores a spec, replacing an existing one; returns the digest of what names its parts. */
  putSpec(spec: ArchivedSpec, options?: OperationOptions): Promise<Digest>;
  /** True if a spec of the cache is as a push would store it: signed, if pushes are signed. */
  isAsPushed(tag: string, options?: FindSpecOptions): Promise<boolean>;
  /** Stores what others need to check the signatures of a push; `isIndexed`: also the list of all keys. */
  publishKey(options: OperationOptions & { readonly isIndexed: boolean }): Promise<void>;
  /** Updates the list of the public keys of the cache; returns their fingerprints. */
  indexKeys(options?: OperationOptions): Promise<readonly string[]>;
}

/** A build cache with public keys by which its signatures can be checked. */
export interface KeyedCache extends ReadCache {
  keys(options?: OperationOptions): Promise<readonly MirrorKey[]>;
  /** Stores public keys; `isIndexed`: also updates their list. */
  storeKeys(keys: readonly MirrorKey[], options: OperationOptions & { readonly isIndexed: boolean }): Promise<void>;
}

/** A public key of a cache. */
export interface MirrorKey {
  /** 40 upper-case hexadecimal digits. */
  readonly fingerprint: string;
  /** The key, armoured. */
  readonly key: Buffer;
}

/** True if a cache has public keys. */
export function hasKeys(cache: ReadCache): cache is KeyedCache {
  return cache.can.sign;
}

/** True if a cache can be written, and holds archives of specs. */
export function hasArchives(cache: ReadCache): cache is ArchiveCache {
  return cache.can.write && !cache.can.images;
}

/** True if the specs of a cache are images. */
export function hasImages(cache: IndexedCache): cache is ImageCache;
export function hasImages(cache: ReadCache): cache is ReadImageCache;
export function hasImages(cache: ReadCache): boolean {
  return cache.can.images;
}

const LACKING: Record<keyof Abilities, readonly [problem: string, hint: string]> = {
  list: ["cannot be listed", "use a cache with an index, or name specs by a spec file or a lock file"],
  write: ["can only be read", "name a place to push to: a directory, s3://, gs:// or oci://"],
  delete: ["does not support deletion", "remove the specs where the cache is stored"],
  images: ["has no images, only archives of specs", "name an oci:// registry or an oci-layout: directory"],
  sign: ["has no gpg signatures", "gpg signatures belong to mirrors, for example file:///DIR"],
};

/** The error for a cache that lacks an ability. */
export function lacks({ name }: Pick<ReadCache, "name">, ability: keyof Abilities): StaveError {
  const [problem, hint] = LACKING[ability];
  return new StaveError("UNSUPPORTED", `${name} ${problem}`, { subject: name, hint });
}

/** The error for a cache without an index, where only the index can answer. */
export function noIndex({ name }: Pick<ReadCache, "name">): StaveError {
  return new StaveError("NOT_FOUND", `${name} has no index`, { hint: `make one with \`stave index ${name}\`` });
}

/** An error about a missing index or list, with another hint if the cache is a registry that was named as a mirror. */
export async function orRegistry(
  cache: Pick<ReadCache, "name" | "asRegistry">,
  error: StaveError,
  options: OperationOptions,
): Promise<StaveError> {
  const address = await cache.asRegistry?.(options);
  if (address === undefined) return error;
  return error.with({ subject: cache.name, hint: `this is a registry: name it ${address}` });
}
