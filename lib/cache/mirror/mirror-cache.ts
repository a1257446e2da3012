// A build cache in the files of a mirror, on disk, on the web or in an object store. A mirror may have two layouts at
// once; as in Spack, the newer one is asked first.
import { gzipSync } from "node:zlib";
import { StaveError } from "../../errors.ts";
import { isWritable, type Objects, type PlacedObject, type ReadObjects } from "../../objects/objects.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import type { SpecNode } from "../../spack/spec/node.ts";
import { writeJson } from "../../spack/text/json.ts";
import type { BlobChecker, BlobFetcher, OperationOptions } from "../../target/target.ts";
import { bytesSource, sizeMismatch } from "../../util/stream.ts";
import {
  type Abilities,
  type ArchiveCache,
  type ArchivedSpec,
  type CachedArchive,
  type CachedSpec,
  type CacheListing,
  type FetchSpecOptions,
  type FindSpecOptions,
  type KeyedCache,
  lacks,
  type MirrorKey,
  type OriginalSpec,
  type WriteIndexOptions,
} from "../cache.ts";
import { type CacheIndex, graphOfRecords } from "../index-read.ts";
import type { IndexText } from "../index-write.ts";
import { isVerifiedIn, type KnownRecords, type NewNodes, newNodesOf } from "../new-nodes.ts";
import type { PrunableCache, SpecStorage } from "../spec-storage.ts";
import { parseSpecTag, type TaggedSpec } from "../spec-tag.ts";
import { isClearSigned } from "./clear-signed.ts";
import { LAYOUT2_INDEX, Layout2 } from "./layout2.ts";
import { indexKey, Layout3, type Layout3Options, manifestKey } from "./layout3.ts";
import { MirrorBlobs } from "./mirror-blobs.ts";
import { indexKeys, offeredKeys, publishKeys } from "./mirror-keys.ts";
import type { MirrorLayout, Signer } from "./mirror-layout.ts";
import { blobKey, MIRROR_MANIFEST_LIMIT, manifestText, mediaTypeOf } from "./mirror-manifest.ts";
import { MirrorStorage } from "./mirror-storage.ts";
import { OldSpecs } from "./old-specs.ts";

/** Options of a mirror. */
export interface MirrorOptions extends Layout3Options {
  /** It is opened to be written: older layouts, which are never written, do not count. */
  readonly isWritten?: boolean | undefined;
  /** Signs what is pushed. */
  readonly signer?: Signer | undefined;
}

/** What a mirror says about itself; Spack writes it once. */
const LAYOUT = Buffer.from('{"signing": "gpg"}');
const LAYOUT_KEY = "v3/layout.json";
/** Spack writes this number into the spec files of layout 3, too. */
const SPEC_LAYOUT = 2;

/** A mirror. */
export class MirrorCache implements ArchiveCache, KeyedCache, PrunableCache {
  readonly name: string;
  readonly can: Abilities;
  readonly objects: ReadObjects;
  readonly asRegistry: ((options?: OperationOptions) => Promise<string | undefined>) | undefined;
  readonly #layouts: readonly MirrorLayout[];
  /** The keys of the archives of the specs that were read. */
  readonly #archives = new WeakMap<CachedArchive | CachedSpec, string>();
  #index: Promise<CacheIndex | undefined> | undefined;
  #listing: Promise<CacheListing> | undefined;
  /** Something of the mirror was found. */
  #isThere = false;
  #looking: Promise<boolean> | undefined;

  readonly #view: string | undefined;
  readonly #layout3: Layout3;
  readonly #signer: Signer | undefined;
  readonly #isWritten: boolean;
  #marked: Promise<void> | undefined;

  constructor(options: MirrorOptions) {
    const { objects, view, signer, isWritten = false } = options;
    const { list, write } = objects.can;
    this.objects = objects;
    this.name = objects.name;
    this.asRegistry = objects.asRegistry;
    this.can = { list, write, delete: write, images: false, sign: true };
    const lookup = (tag: string, one: OperationOptions): Promise<SpecNode | undefined> => this.#nodeOf(tag, one);
    const layout3 = new Layout3(options, lookup);
    // Only layout 3 has views.
    this.#layouts = view === undefined && !isWritten ? [layout3, new Layout2(options, lookup)] : [layout3];
    this.#view = view;
    this.#layout3 = layout3;
    this.#signer = signer;
    this.#isWritten = isWritten;
  }

  async list(options: OperationOptions = {}): Promise<CacheListing> {
    const specs = new Map<string, TaggedSpec>();
    const foreign: string[] = [];
    let hasIndex = false;
    for (const layout of this.#layouts) if (await layout.list({ specs, foreign }, options)) hasIndex = true;
    if (specs.size === 0 && foreign.length === 0 && !hasIndex) await this.#checkThere(options);
    else this.#isThere = true;
    return { specs, foreign, others: [], hasIndex };
  }

  // A bucket or a web server has no folders: one that is misspelt must not look like an empty mirror. Real folders were
  // checked before, and a mirror is created by its first content.
  async #checkThere(options: OperationOptions): Promise<void> {
    if (this.#isWritten || this.objects.path !== undefined) return;
    if (this.#isThere) return;
    this.#looking ??= this.#hasAny(options).finally(() => (this.#looking = undefined));
    if (!(await this.#looking)) throw this.#noMirror();
    this.#isThere = true;
  }

  async #hasAny({ signal }: OperationOptions): Promise<boolean> {
    for (const key of [LAYOUT_KEY, indexKey(this.#view), LAYOUT2_INDEX])
      if ((await this.objects.look(key, { signal })) !== undefined) return true;
    if (!this.can.list) return false;
    for (const folder of ["v3/", "build_cache/"])
      for await (const _ of this.objects.list(folder, { signal })) return true;
    return false;
  }

  #noMirror(): StaveError {
    return new StaveError("NOT_FOUND", `${this.name} has no mirror: there is neither v3 nor build_cache`, {
      subject: this.name,
      hint: this.can.list ? "check the names of the bucket and the folder" : "check the URL",
    });
  }

  // A tag alone does not tell under which names a mirror has a spec: its listing or its index does.
  async #nodeOf(tag: string, options: OperationOptions): Promise<SpecNode | undefined> {
    if (this.can.list) {
      this.#listing ??= this.list(options);
      await this.#listing;
      return undefined;
    }
    this.#index ??= this.readIndex(options);
    const index = await this.#index;
    const hash = parseSpecTag(tag)?.hash;
    if (index === undefined || hash === undefined) return undefined;
    return graphOfRecords([hash], (each) => index.records.get(each), this.name).get(hash);
  }

  async has(tag: string, options: FindSpecOptions = {}): Promise<boolean> {
    for (const layout of this.#layouts) {
      if (!(await layout.has(tag, options))) continue;
      this.#isThere = true;
      return true;
    }
    await this.#checkThere(options);
    return false;
  }

  async fetchSpec(tag: string, options: FetchSpecOptions = {}): Promise<CachedSpec> {
    for (const layout of this.#layouts) {
      const found = await layout.fetchSpec(tag, options);
      if (found === undefined) continue;
      this.#isThere = true;
      this.#archives.set(found.spec, found.archiveKey);
      return found.spec;
    }
    await this.#checkThere(options);
    throw new StaveError("NOT_FOUND", `${this.name} has no ${tag}`, { subject: tag });
  }

  async locateArchive(tag: string, options: FetchSpecOptions = {}): Promise<CachedSpec> {
    return await this.fetchSpec(tag, options);
  }

  async fetchNewNodes(tag: string, known: KnownRecords, { signal }: OperationOptions = {}): Promise<NewNodes> {
    const isKnown = isVerifiedIn(known);
    return newNodesOf((await this.fetchSpec(tag, { isKnown, signal })).document, known);
  }

  async readIndex(options: OperationOptions = {}): Promise<CacheIndex | undefined> {
    for (const layout of this.#layouts) {
      const index = await layout.readIndex(options);
      if (index !== undefined) return index;
    }
    return undefined;
  }

  async writeIndex(text: IndexText, options: WriteIndexOptions = {}): Promise<boolean> {
    const { signal, replaced } = options;
    const objects = this.writable();
    const { digest, size } = text;
    const key = blobKey(text);
    const broken = this.#layout3.brokenIndex;
    // A damaged text may have the size and name of the new one.
    if (broken !== undefined || (await objects.look(key, { signal }))?.size !== size)
      await objects.write(key, text, digest, { signal });
    const manifest = Buffer.from(manifestText([{ kind: "index", digest, size }]));
    const token = replaced?.token ?? broken;
    const isCertain = await objects.replace(indexKey(this.#view), manifest, token, { signal });
    await this.#mark(objects, signal);
    return isCertain;
  }

  /** What the mirror has in older layouts. */
  get old(): OldSpecs {
    return new OldSpecs(this.writable());
  }

  async openStorage(): Promise<SpecStorage> {
    return new MirrorStorage(this.writable(), this.#layout3);
  }

  get blobs(): MirrorBlobs {
    return new MirrorBlobs(this.writable());
  }

  async prepareToPut({ original }: Pick<ArchivedSpec, "original">): Promise<void> {
    if (this.#asBefore(original) === undefined) await this.#signer?.prepare();
  }

  async putSpec(given: ArchivedSpec, { signal }: OperationOptions = {}): Promise<Digest> {
    const objects = this.writable();
    const { spec, manifest } = this.#asBefore(given.original) ?? (await this.#describe(given, signal));
    const blob = { mediaType: mediaTypeOf("spec"), digest: digestOf(spec), size: spec.length };
    await this.blobs.pushBlob(blob, bytesSource(spec), { signal });
    const digest = digestOf(manifest);
    await objects.write(manifestKey(given.node), bytesSource(manifest), digest, { signal });
    await this.#mark(objects, signal);
    return digest;
  }

  // A description that is signed, or need not be, is taken over.
  #asBefore(original: OriginalSpec | undefined): OriginalSpec | undefined {
    if (original === undefined) return undefined;
    return this.#signer === undefined || isClearSigned(original.manifest) ? original : undefined;
  }

  async #describe({ document, archive }: ArchivedSpec, signal: AbortSignal | undefined): Promise<OriginalSpec> {
    const text = writeJson({ spec: document, buildcache_layout_version: SPEC_LAYOUT });
    const packed = gzipSync(Buffer.from(text), { level: 6 });
    const manifest = manifestText([
      { kind: "archive", ...archive },
      { kind: "spec", digest: digestOf(packed), size: packed.length },
    ]);
    const bytes = this.#signer === undefined ? Buffer.from(manifest) : await this.#signer.sign(manifest, { signal });
    return { spec: packed, manifest: bytes };
  }

  async isAsPushed(tag: string, options: FindSpecOptions = {}): Promise<boolean> {
    if (this.#signer === undefined) return true;
    const key = await this.#layout3.keyOf(tag, options);
    const found = key && (await this.objects.read(key, MIRROR_MANIFEST_LIMIT, options));
    return found ? isClearSigned(found.bytes) : false;
  }

  async publishKey({ signal, isIndexed }: OperationOptions & { readonly isIndexed: boolean }): Promise<void> {
    const signer = this.#signer;
    if (signer === undefined) return;
    const objects = this.writable();
    const key = await signer.publicKey({ signal });
    if (key === undefined) return;
    await publishKeys(objects, [key], { signal });
    if (isIndexed) await indexKeys(objects, { signal });
  }

  async indexKeys(options: OperationOptions = {}): Promise<readonly string[]> {
    return await indexKeys(this.writable(), options);
  }

  /** Stores public keys; `isIndexed`: also updates their list. */
  async storeKeys(
    keys: readonly MirrorKey[],
    { isIndexed, signal }: OperationOptions & { readonly isIndexed: boolean },
  ): Promise<void> {
    const objects = this.writable();
    await publishKeys(objects, keys, { signal });
    if (isIndexed) await indexKeys(objects, { signal });
    await this.#mark(objects, signal);
  }

  /** The public keys that the mirror offers. */
  async keys(options: OperationOptions = {}): Promise<readonly MirrorKey[]> {
    return await offeredKeys(this.objects, options);
  }

  // Says once what the mirror is, after its first content.
  async #mark(objects: Objects, signal: AbortSignal | undefined): Promise<void> {
    this.#marked ??= (async () => {
      if ((await objects.look(LAYOUT_KEY, { signal })) !== undefined) return;
      await objects.write(LAYOUT_KEY, bytesSource(LAYOUT), digestOf(LAYOUT), { signal });
    })();
    await this.#marked;
  }

  /** The files, for writing. Throws UNSUPPORTED if they can only be read. */
  protected writable(): Objects {
    if (isWritable(this.objects)) return this.objects;
    throw lacks(this, "write");
  }

  blobsOf(spec: CachedArchive | CachedSpec): BlobFetcher & BlobChecker & { readonly archive: PlacedObject } {
    const { objects } = this;
    const key = this.#archives.get(spec);
    if (key === undefined) throw new StaveError("INTERNAL", `${spec.tag} was not read from ${this.name}`);
    return {
      archive: { objects, key },
      fetchBlob: (blob, options) => objects.open(key, blob, options),
      hasBlob: async (blob, options) => {
        const found = await objects.look(key, options);
        if (found?.size !== undefined && found.size !== blob.size)
          throw sizeMismatch(`${key} of ${this.name}`, blob.size, String(found.size));
        return found !== undefined;
      },
    };
  }
}
