// The seam between everything that moves content and the places where content lives. One-verb interfaces, summed;
// a function asks for the smallest sum that works. Implementations: registry.ts, layout.ts, memory.ts.
import type { Readable } from "node:stream";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Source } from "../util/stream.ts";

/** What every operation takes. */
export interface OperationOptions {
  signal?: AbortSignal | undefined;
}

/** Options of fetching a blob. */
export interface FetchBlobOptions extends OperationOptions {
  /** It is a small one that is read whole, so that it has a longest time. */
  isDocument?: boolean | undefined;
}

/** A manifest as it lies there: its exact bytes and their descriptor (media type as the target gave it). */
export interface FetchedManifest {
  descriptor: Descriptor;
  bytes: Buffer;
  /** The target has said that it moves tags under conditions. */
  obeysConditions: boolean;
  /** How long it has been there, in milliseconds by the target's own clock; undefined where the target does not say. */
  age?: number | undefined;
}

export interface BlobFetcher {
  /**
   * Opens a blob. The stream fails at its end with DIGEST_MISMATCH or SIZE_MISMATCH unless the bytes are right, so
   * nothing may be published before it has ended. Whoever asks consumes or destroys it. Throws NOT_FOUND.
   */
  fetchBlob(descriptor: Descriptor, options?: FetchBlobOptions): Promise<Readable>;
}

export interface BlobChecker {
  /** Tells whether a blob is there; only a clear "no" is false, an unanswered question is an error. */
  hasBlob(descriptor: Descriptor, options?: OperationOptions): Promise<boolean>;
}

export interface BlobPusher {
  /**
   * Stores a blob whose digest and size are known: asks whether it is there, else mounts it where it can, else
   * sends it. The source is opened only when bytes have to move.
   */
  pushBlob(descriptor: Descriptor, source: Source, options?: PushBlobOptions): Promise<PushOutcome>;
  /**
   * Stores a stream whose length is not known beforehand, and returns what it was. The stream is read once:
   * after a break the upload resumes from what is still held in memory, else the error says UPLOAD_LOST.
   */
  pushStream(stream: Readable, mediaType: string, options?: PushStreamOptions): Promise<Descriptor>;
}

/** How a blob came to be in the target. */
export type PushOutcome = "present" | "mounted" | "pushed";

export interface PushBlobOptions extends OperationOptions {
  /** Told the bytes as they are sent; a negative count takes back what has to be sent again. */
  onBytes?: ((count: number) => void) | undefined;
  /** Repositories (`mountName`) of the same mount domain to take the blob from without a transfer, in this order. */
  mountFrom?: readonly string[] | undefined;
  /** The caller knows that it is not there, or would not mind sending it again: the question is not asked. */
  isNew?: boolean | undefined;
}

export interface PushStreamOptions extends PushBlobOptions {
  /** The digest, when a transform in front of the stream knows it by the end; asked once, after the last byte. */
  digest?: (() => Digest) | undefined;
  /** Hears of each chunk of the stream whose memory is not needed any more, so that it can be used again. */
  recycle?: ((chunk: Uint8Array) => void) | undefined;
}

export interface ManifestFetcher {
  /** The descriptor of a tag or digest, undefined when it is absent (404 and nothing else). */
  headManifest(reference: string, options?: OperationOptions): Promise<Descriptor | undefined>;
  /** A manifest by tag or digest, verified, of at most `limit` bytes (4 MiB). Throws NOT_FOUND, TOO_LARGE. */
  fetchManifest(reference: string, options?: FetchManifestOptions): Promise<FetchedManifest>;
}

export interface FetchManifestOptions extends OperationOptions {
  /** The most bytes to accept. */
  limit?: number | undefined;
}

/** The most bytes of a manifest that are accepted unless told otherwise (OCI distribution 1.1, "Pushing Manifests"). */
export const MANIFEST_LIMIT: number = 4 * 1024 * 1024;

export interface ManifestPusher {
  /**
   * Stores a manifest by its digest and, when one is given, under a tag. With `expected`, the tag is moved only if
   * it still is what was expected (undefined as a value: still absent). Throws CONFLICT, or UNSUPPORTED when the
   * target cannot do that.
   */
  pushManifest(bytes: Uint8Array, mediaType: string, options?: PushManifestOptions): Promise<PushedManifest>;
}

export interface PushManifestOptions extends OperationOptions {
  tag?: string | undefined;
  condition?: TagCondition | undefined;
  /** The digest under which it is pushed, when that is not the sha256 of the bytes. */
  digest?: Digest | undefined;
}

/**
 * A tag may be moved only when it is absent, or when it still names this digest; `isObeyed` when the target has said that
 * it obeys conditions, and need not be asked.
 */
export type TagCondition = { absent: true } | { digest: Digest; isObeyed?: boolean | undefined };

export interface PushedManifest {
  descriptor: Descriptor;
}

export interface TagLister {
  /** Every tag, in the target's order, page by page. */
  tags(options?: OperationOptions): AsyncIterable<string>;
}

export interface Deleter {
  /** Removes a tag or, by digest, a manifest. Throws NOT_FOUND, UNSUPPORTED. */
  deleteManifest(reference: string, options?: OperationOptions): Promise<void>;
  deleteBlob(digest: Digest, options?: OperationOptions): Promise<void>;
}

export interface ReferrerLister {
  /** The manifests whose subject is this digest (OCI distribution 1.1, "Listing Referrers"), by API or tag fall-back. */
  referrers(digest: Digest, options?: ReferrersOptions): Promise<Descriptor[]>;
}

export interface ReferrersOptions extends OperationOptions {
  artifactType?: string | undefined;
}

/** What may be read from. */
export interface ReadTarget extends BlobFetcher, BlobChecker, ManifestFetcher, TagLister, ReferrerLister {
  /** The target as a user would type it, for messages. */
  readonly name: string;
  /** Targets of the same domain can mount each other's blobs; undefined when this one cannot. */
  readonly mountDomain?: string | undefined;
  /** What another target of the same mount domain calls this one in `mountFrom`. */
  readonly mountName?: string | undefined;
}

/** What may be read from and written to. */
export interface Target extends ReadTarget, BlobPusher, ManifestPusher, Deleter {
  /** The target refuses a manifest whose blobs it lacks, so that a manifest there means that all of it is there. */
  readonly keepsClosure: boolean;
  /** Ends what the target holds open (connections, locks). */
  close(): Promise<void>;
}
