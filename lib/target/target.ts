// The seam between code that moves content and the places where content lives: interfaces of one verb each, and their
// sums. A function asks for the smallest sum it needs. Implementations: registry/registry.ts, layout/layout.ts,
// empty-target.ts.
import type { Readable } from "node:stream";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Source } from "../util/stream.ts";

/**
 * The number of documents to ask a target for at once. A registry's transport decides how many of the requests go out;
 * this bounds what is in memory.
 */
export const DOCUMENTS_AT_ONCE = 48;

/** Options of every operation. */
export interface OperationOptions {
  signal?: AbortSignal | undefined;
}

/** Options for fetching a blob. */
export interface FetchBlobOptions extends OperationOptions {
  /** The blob is a small document that is read whole, so a time limit applies. */
  isDocument?: boolean | undefined;
}

/** A stored manifest: its exact bytes and their descriptor (with the media type that the target gave). */
export interface FetchedManifest {
  descriptor: Descriptor;
  bytes: Buffer;
  /** The target has announced that it supports conditional tag updates. */
  obeysConditions: boolean;
  /** Its age in milliseconds by the target's own clock; undefined if the target does not say. */
  age?: number | undefined;
}

/** A target from which blobs can be fetched. */
export interface BlobFetcher {
  /**
   * Opens a blob. The stream fails at its end with DIGEST_MISMATCH or SIZE_MISMATCH unless the bytes are correct, so
   * nothing may be published before it has ended. The caller must consume or destroy it. Throws NOT_FOUND.
   */
  fetchBlob(descriptor: Descriptor, options?: FetchBlobOptions): Promise<Readable>;
}

/** A target from which the start of a blob can be fetched without the rest. */
export interface BlobStartFetcher {
  /**
   * The first `length` bytes of a blob, or all of a smaller one. They are not verified: nothing may depend on them that
   * is not checked again. Throws NOT_FOUND.
   */
  fetchBlobStart(descriptor: Descriptor, length: number, options?: OperationOptions): Promise<Buffer>;
}

/** A target that can be asked whether it has a blob. */
export interface BlobChecker {
  /** True if the blob exists. Only a definite "no" is false; a failed request is an error. */
  hasBlob(descriptor: Descriptor, options?: OperationOptions): Promise<boolean>;
}

/** A target to which blobs can be pushed. */
export interface BlobPusher {
  /**
   * Stores a blob of known digest and size: checks whether it exists, otherwise mounts it if possible, otherwise sends
   * it. The source is opened only if bytes must be sent.
   */
  pushBlob(descriptor: Descriptor, source: Source, options?: PushBlobOptions): Promise<PushOutcome>;
  /**
   * Stores a stream of unknown length and returns its descriptor. The stream is read once: after an interruption the
   * upload resumes from the bytes still in memory, or fails with UPLOAD_LOST.
   */
  pushStream(stream: Readable, mediaType: string, options?: PushStreamOptions): Promise<Descriptor>;
}

/** How a blob got into the target. */
export type PushOutcome = "present" | "mounted" | "pushed";

/** Options for pushing a blob. */
export interface PushBlobOptions extends OperationOptions {
  /** Called with the number of bytes sent; a negative count takes back bytes that must be sent again. */
  onBytes?: ((count: number) => void) | undefined;
  /** Repositories (`mountName`) of the same mount domain to mount the blob from, in order of preference. */
  mountFrom?: readonly string[] | undefined;
  /** The caller knows that the blob is absent, or accepts sending it again: the check is skipped. */
  isNew?: boolean | undefined;
}

/** Options for pushing a stream. */
export interface PushStreamOptions extends PushBlobOptions {
  /** The digest, if a transform in front of the stream computes it; called once, after the last byte. */
  digest?: (() => Digest) | undefined;
  /** Called with each chunk whose memory is no longer needed and may be reused. */
  recycle?: ((chunk: Uint8Array) => void) | undefined;
}

/** A target from which manifests can be fetched. */
export interface ManifestFetcher {
  /** The descriptor of a tag or digest; undefined if it does not exist (404 only). */
  headManifest(reference: string, options?: OperationOptions): Promise<Descriptor | undefined>;
  /** A verified manifest by tag or digest, of at most `limit` bytes (default 4 MiB). Throws NOT_FOUND, TOO_LARGE. */
  fetchManifest(reference: string, options?: FetchManifestOptions): Promise<FetchedManifest>;
}

/** Options for fetching a manifest. */
export interface FetchManifestOptions extends OperationOptions {
  /** Maximum number of bytes to accept. */
  limit?: number | undefined;
}

/** The default limit on the bytes of a manifest (OCI distribution 1.1, "Pushing Manifests"). */
export const MANIFEST_LIMIT: number = 4 * 1024 * 1024;

/** A target to which manifests can be pushed. */
export interface ManifestPusher {
  /**
   * Stores a manifest by its digest and, if given, under a tag. With `condition`, moves the tag only if the condition
   * holds. Throws CONFLICT if it does not, and UNSUPPORTED if the target has no conditional updates.
   */
  pushManifest(bytes: Uint8Array, mediaType: string, options?: PushManifestOptions): Promise<PushedManifest>;
}

/** A manifest that refers to another one, its subject. */
export interface ReferrerManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** A target to which many referrers can be pushed at once. */
export interface ReferrerPusher {
  /**
   * Stores manifests that refer to others, and lists them as referrers; in fewer requests than one by one. Throws
   * CONFLICT if other clients keep overwriting a list.
   */
  pushReferrers(manifests: readonly ReferrerManifest[], options?: OperationOptions): Promise<void>;
}

/** Options for pushing a manifest. */
export interface PushManifestOptions extends OperationOptions {
  tag?: string | undefined;
  condition?: TagCondition | undefined;
  /** The digest to push it under, if other than the sha256 of the bytes. */
  digest?: Digest | undefined;
}

/**
 * Move a tag only if it is absent, or only if it still names this digest. `isObeyed`: the target has announced that it
 * supports conditions and need not be probed.
 */
export type TagCondition = { absent: true } | { digest: Digest; isObeyed?: boolean | undefined };

/**
 * The header with which `stave serve` announces support for If-Match; there is no standard one, so other registries are
 * probed.
 */
export const CONDITIONS_HEADER = "stave-tag-conditions";

/** The result of pushing a manifest. */
export interface PushedManifest {
  descriptor: Descriptor;
}

/** A target whose tags can be listed. */
export interface TagLister {
  /** Every tag, in the target's order, page by page. */
  tags(options?: OperationOptions): AsyncIterable<string>;
}

/** A target from which content can be deleted. */
export interface Deleter {
  /** Deletes a tag or, by digest, a manifest. Throws NOT_FOUND, UNSUPPORTED. */
  deleteManifest(reference: string, options?: OperationOptions): Promise<void>;
  /** Deletes a blob. Throws NOT_FOUND, UNSUPPORTED. */
  deleteBlob(digest: Digest, options?: OperationOptions): Promise<void>;
}

/** Deletes manifests where the registry itself does not. */
export interface ManifestDeleter {
  /** How messages name it. */
  readonly name: string;
  /** Finds out what it can delete, before anything is. Throws DENIED, CREDENTIALS_MISSING, CREDENTIALS_REJECTED. */
  open(options?: OperationOptions): Promise<void>;
  /** Deletes a manifest with all its tags. Throws NOT_FOUND, DENIED. */
  deleteManifest(digest: Digest, options?: OperationOptions): Promise<void>;
}

/** A target whose referrers can be listed. */
export interface ReferrerLister {
  /**
   * The manifests whose subject is this digest (OCI distribution 1.1, "Listing Referrers"), by API or by fallback tag.
   */
  referrers(digest: Digest, options?: ReferrersOptions): Promise<Descriptor[]>;
}

/** Options for listing referrers. */
export interface ReferrersOptions extends OperationOptions {
  artifactType?: string | undefined;
}

/** A target that can be read. */
export interface ReadTarget extends BlobFetcher, BlobChecker, ManifestFetcher, TagLister, ReferrerLister {
  /** The target as a user would type it, for messages. */
  readonly name: string;
  /** Targets of the same domain can mount each other's blobs; undefined if this one supports no mounting. */
  readonly mountDomain?: string | undefined;
  /** The name of this target in another target's `mountFrom`. */
  readonly mountName?: string | undefined;
}

/** A target that can be read and written. */
export interface Target extends ReadTarget, BlobStartFetcher, BlobPusher, ManifestPusher, ReferrerPusher, Deleter {
  /** The target refuses a manifest whose blobs it lacks, so a stored manifest implies all its content. */
  readonly keepsClosure: boolean;
  /** Releases what the target holds open (connections, locks). */
  close(): Promise<void>;
}
