// The seam between mirrors and where their files are: a folder, a web server, an object store. A key is a path below
// the mirror's root, with `/` between its parts.
import type { Readable } from "node:stream";
import type { Digest } from "../oci/digest.ts";
import type { Expectation, Source } from "../util/stream.ts";

/** Options of every request. */
export interface ObjectOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What is known of an object without reading it. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes; undefined if the server does not say. */
  readonly size: number | undefined;
  /** When it was last written, in milliseconds since the epoch; undefined if unknown. */
  readonly modified: number | undefined;
}

/** The content of a small object. */
export interface ObjectContent {
  readonly bytes: Buffer;
  /** Identifies this state of the object, for `replace`. */
  readonly token: string;
}

/** An object of unknown digest, open to be read. */
export interface OpenObject {
  /** Fails if the object is longer than it may be, or arrives incomplete. */
  readonly stream: Readable;
  /** Identifies this state of the object; undefined if the place has nothing that tells states apart reliably. */
  readonly token: string | undefined;
}

/** Options for opening an object of unknown digest. */
export interface OpenLatestOptions extends ObjectOptions {
  /** The token of a state that the caller has. */
  readonly known?: string | undefined;
}

/** A place with objects that can be read. */
export interface ReadObjects {
  /** The place as a user would type it, without secrets. */
  readonly name: string;
  readonly can: { readonly list: boolean; readonly write: boolean };
  /** The address of the place as a repository, if its server is a registry; undefined if it is not. */
  readonly asRegistry?: ((options?: ObjectOptions) => Promise<string | undefined>) | undefined;
  /** A whole object of at most `limit` bytes; undefined only if it is certainly absent. Throws TOO_LARGE. */
  read(key: string, limit: number, options?: ObjectOptions): Promise<ObjectContent | undefined>;
  /** Undefined only if the object is certainly absent; a refusal is an error. */
  look(key: string, options?: ObjectOptions): Promise<ObjectInfo | undefined>;
  /**
   * Opens an object whose digest and size are known. The stream fails at its end unless both are right. Throws
   * NOT_FOUND.
   */
  open(key: string, expected: Expectation, options?: ObjectOptions): Promise<Readable>;
  /**
   * Opens an object of unknown digest and of at most `limit` bytes; "same" if it is still in the known state. Undefined
   * only if the object is certainly absent. Throws TOO_LARGE.
   */
  openLatest(key: string, limit: number, options?: OpenLatestOptions): Promise<OpenObject | "same" | undefined>;
  /**
   * What tells an object from all others between runs, also from one of the same name at another server; undefined if
   * nothing proves where its content comes from.
   */
  identity(key: string): string | undefined;
  /** The path of an object, if objects are files of this machine. */
  path?(key: string): string;
  /** The objects whose keys start with a prefix that ends in `/`, in any order; none if there is no such folder. */
  list(prefix: string, options?: ObjectOptions): AsyncIterable<ObjectInfo>;
  /** Releases what is held open. */
  close(): Promise<void>;
}

/** An object in a place. */
export interface PlacedObject {
  readonly objects: ReadObjects;
  readonly key: string;
}

/** True if a place can be written. */
export function isWritable(objects: ReadObjects): objects is Objects {
  return objects.can.write;
}

/** Options for writing an object. */
export interface WriteOptions extends ObjectOptions {
  /** Called with the number of bytes sent; a negative count takes back bytes that must be sent again. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

/** Options for writing a stream. */
export interface WriteStreamOptions extends WriteOptions {
  /** The digest, if a transform in front of the stream computes it; called once, after the last byte. */
  readonly digest?: (() => Digest) | undefined;
  /** Called with each chunk whose memory is no longer needed and may be reused. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
}

/** A place with objects that can be read and written. */
export interface Objects extends ReadObjects {
  /** Stores an object of known digest, whole or not at all; replaces an existing one. */
  write(key: string, source: Source, digest: Digest, options?: WriteOptions): Promise<void>;
  /** Stores a stream of unknown length under a key that its digest gives; an object that is there stays. */
  writeStream(
    stream: Readable,
    keyOf: (digest: Digest) => string,
    options?: WriteStreamOptions,
  ): Promise<{ digest: Digest; size: number }>;
  /**
   * Replaces an object only if it is still the one that was read, or with `undefined` only if it is still absent.
   * Returns true if that is certain, false if the place cannot tell. Throws CONFLICT if it has changed.
   */
  replace(key: string, bytes: Uint8Array, read: string | undefined, options?: ObjectOptions): Promise<boolean>;
  /**
   * Stores an object that is in a place of the same kind without transferring it; false if these places cannot do that.
   * What is read on the way is verified, at least its size.
   */
  take(from: PlacedObject, key: string, expected: Expectation, options?: ObjectOptions): Promise<boolean>;
  /** Marks an object as in use now, where that is possible, so that no cleanup removes it as unused. */
  touch(key: string, options?: ObjectOptions): Promise<void>;
  /** Removes an object; returns false if it was absent. */
  remove(key: string, options?: ObjectOptions): Promise<boolean>;
}
