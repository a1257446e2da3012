// What the layouts of mirrors have in common: files by spec, and an index.
import { StaveError } from "../../errors.ts";
import type { ReadObjects } from "../../objects/objects.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { printable } from "../../printable/printable.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import type { OperationOptions } from "../../target/target.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import type { CachedSpec, FetchSpecOptions, MirrorKey } from "../cache.ts";
import type { CacheIndex } from "../index-read.ts";
import type { TaggedSpec } from "../spec-tag.ts";

/** Checks the signature of a clear-signed text. */
export interface SignatureCheck {
  /** The signed text, verified. Throws SIGNATURE_MISSING, SIGNATURE_INVALID. */
  verify(bytes: Buffer, subject: string, options: OperationOptions): Promise<string>;
}

/** Signs the texts of a push. */
export interface Signer {
  /** Makes sure that there is a key. Throws CREDENTIALS_MISSING, USAGE. */
  prepare(): Promise<void>;
  /** The clear-signed form of a text. */
  sign(text: string, options: OperationOptions): Promise<Buffer>;
  /** The public key; undefined if nothing was signed. */
  publicKey(options: OperationOptions): Promise<MirrorKey | undefined>;
}

/** What the layouts of one mirror share. */
export interface LayoutOptions {
  readonly objects: ReadObjects;
  /** Without it, signatures are not checked. */
  readonly signatures: SignatureCheck | undefined;
  /** Caches indexes between runs by digest. */
  readonly memory?: DiskCache | undefined;
}

/** A spec of a mirror, and the key of its archive. */
export interface MirrorSpec {
  readonly spec: CachedSpec;
  readonly archiveKey: string;
}

/** What a listing of a mirror finds. */
export interface LayoutListing {
  readonly specs: Map<string, TaggedSpec>;
  readonly foreign: string[];
}

/** One layout of a mirror. */
export interface MirrorLayout {
  /** Adds the specs to a listing. Returns true if the layout has an index. */
  list(into: LayoutListing, options: OperationOptions): Promise<boolean>;
  /** True if the layout has a spec. */
  has(tag: string, options: FetchSpecOptions): Promise<boolean>;
  /** Reads a spec; undefined if it is absent. */
  fetchSpec(tag: string, options: FetchSpecOptions): Promise<MirrorSpec | undefined>;
  readIndex(options: OperationOptions): Promise<CacheIndex | undefined>;
}

/** The index of a mirror, to find the node that a tag names. */
export type NodeLookup = (tag: string, options: OperationOptions) => Promise<SpecNode | undefined>;

/** A blob of a mirror for messages. */
export function blobName({ digest }: Pick<Descriptor, "digest">, { name }: Pick<ReadObjects, "name">): string {
  return `blob ${digest} of ${name}`;
}

/** The error for a document of a mirror that lacks a part. */
export function lacksPart(subject: string, part: string): StaveError {
  return new StaveError("CONTENT_INVALID", `${printable(subject, { most: 300 })} names no ${part}`, {
    subject,
    hint: "push the spec again",
  });
}
