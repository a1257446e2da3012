// A build cache in a repository of a registry or in a layout directory, with Spack's names (Spack
// `binary_distribution.py`, `oci/oci.py`).
import { isStaveError, StaveError } from "../errors.ts";
import { specsInHistory } from "../image/image-documents.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { hexOf } from "../oci/digest.ts";
import { canonicalBytes, configSchema, describe, type Manifest, parseBySchema } from "../oci/manifest.ts";
import { DOCKER_CONFIG, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "../oci/mediatype.ts";
import { imageName } from "../oci/reference.ts";
import { printable } from "../printable/printable.ts";
import { readSpecDocument } from "../spack/spec/spec-file.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import { inside, own, type Place, wrong } from "../spack/text/fields.ts";
import { invalid, isObject, parseJsonBytes } from "../spack/text/json.ts";
import type { JsonObject, JsonValue } from "../spack/text/json-value.ts";
import { Recurring } from "../spack/text/recurring.ts";
import { parseFetched } from "../target/choose-platform.ts";
import { CONFIG_LIMIT } from "../target/image-config.ts";
import { withRefetch } from "../target/refetch.ts";
import type { ManifestDeleter, OperationOptions, ReadTarget, Target } from "../target/target.ts";
import { gunzip } from "../util/decompress.ts";
import type { DiskCache } from "../util/disk-cache.ts";
import { release } from "../util/free-chunks.ts";
import { rememberedDocument } from "../util/remembered-blob.ts";
import { bytesSource, readSized } from "../util/stream.ts";
import type {
  Abilities,
  CachedArchive,
  CacheListing,
  FetchSpecOptions,
  ImageCache,
  ReadImageCache,
  ReadIndexOptions,
  SpecImage,
  WriteIndexOptions,
} from "./cache.ts";
import { readIndexBlob } from "./index-blob.ts";
import type { CacheIndex, StoredIndex } from "./index-read.ts";
import { type IndexText, isSameIndex } from "./index-write.ts";
import { isVerifiedIn, type KnownRecords, type NewNodes, newNodesOf, scanDocument } from "./new-nodes.ts";
import { checkIdentity } from "./spec-identity.ts";
import type { PrunableCache, SpecStorage } from "./spec-storage.ts";
import { INDEX_TAG, isForeignTag, parseSpecTag, type TaggedSpec } from "./spec-tag.ts";

/** The newest known layout of specs in OCI caches (Spack 1.0 to 1.2). */
const NEWEST_LAYOUT = 3;
/** Larger manifests, in bytes, are not kept until their config is read, but read again. */
const SMALL_MANIFEST = 64 * 1024;
const EMPTY_CONFIG = Buffer.from("{}");

/** Decides by their manifests whether the contents of a cache may be used; throws if not. */
export interface ContentGuard {
  image(tag: string, manifest: Descriptor, options: OperationOptions): Promise<void>;
  /** Called without a manifest if there is no index. */
  index(manifest: Descriptor | undefined, options: OperationOptions): Promise<void>;
}

/** Options of an OCI build cache. */
export interface OciCacheOptions {
  /** Decides whether images and the index may be used, before anything in them is read. */
  readonly guard?: ContentGuard | undefined;
  /** Caches configs and indexes between runs by digest, which is verified again on reading. */
  readonly memory?: DiskCache | undefined;
  /** What deletes manifests if the target does not. */
  readonly deleter?: ManifestDeleter | undefined;
}

/** A build cache over any readable target. */
export class ReadOciCache<T extends ReadTarget = ReadTarget> implements ReadImageCache {
  readonly name: string;
  readonly can: Abilities = { list: true, write: true, delete: true, images: true, sign: false };
  readonly target: T;
  readonly #memory: DiskCache | undefined;
  readonly #guard: ContentGuard | undefined;
  // Parts that images share, parsed once.
  readonly #recurring = new Recurring();
  readonly #images = new WeakMap<CachedArchive, ReadImage>();

  constructor(target: T, options: OciCacheOptions = {}) {
    this.target = target;
    this.#memory = options.memory;
    this.#guard = options.guard;
    this.name = target.name;
  }

  async list(options: OperationOptions = {}): Promise<CacheListing> {
    const specs = new Map<string, TaggedSpec>();
    const foreign: string[] = [];
    const others: string[] = [];
    let hasIndex = false;
    for await (const tag of this.target.tags(options)) {
      const spec = parseSpecTag(tag);
      if (spec !== undefined) specs.set(tag, spec);
      else if (tag === INDEX_TAG) hasIndex = true;
      else (isForeignTag(tag) ? foreign : others).push(tag);
    }
    return { specs, foreign, others, hasIndex };
  }

  async has(tag: string, options: OperationOptions = {}): Promise<boolean> {
    return (await this.target.headManifest(tag, options)) !== undefined;
  }

  async fetchSpec(tag: string, options: FetchSpecOptions = {}): Promise<SpecImage> {
    const { isKnown, signal, archive } = options;
    const image = (archive && this.#images.get(archive)) ?? (await this.#readImage(tag, signal));
    const { subject, config } = image;
    const what = `the config of ${subject}`;
    const bytes = inflated(await this.#readBlob(config, CONFIG_LIMIT, what, signal), what);
    const value = parseConfig(bytes, what, this.#recurring);
    release(bytes);
    return specImage(tag, image, value, isKnown);
  }

  async locateArchive(tag: string, { signal }: OperationOptions = {}): Promise<CachedArchive> {
    const image = await this.#readImage(tag, signal);
    const archive = { tag, archive: image.archive, dependencyLayerCount: image.layers.length - 1 };
    // Hundreds may wait until their configs are read.
    if (image.manifest.size <= SMALL_MANIFEST) this.#images.set(archive, image);
    return archive;
  }

  async fetchNewNodes(tag: string, known: KnownRecords, { signal }: OperationOptions = {}): Promise<NewNodes> {
    const image = await this.#readImage(tag, signal);
    const { subject, config } = image;
    const what = `the config of ${subject}`;
    // Not remembered: an index takes each image in once.
    const bytes = inflated(await this.#fetchBlob(config, CONFIG_LIMIT, what, signal), what);
    const found = scanDocument(bytes, known, { source: { name: what, recurring: this.#recurring } });
    if (found !== undefined && specTag(found.nodes.root) === tag) {
      readConfig(parseConfig(found.rest, what), image);
      // The nodes have copies of their texts.
      release(bytes);
      return found.nodes;
    }
    const isKnown = isVerifiedIn(known);
    return newNodesOf(specImage(tag, image, parseConfig(bytes, what, this.#recurring), isKnown).document, known);
  }

  blobsOf(): T {
    return this.target;
  }

  async #readImage(tag: string, signal: AbortSignal | undefined): Promise<ReadImage> {
    const fetched = await this.target.fetchManifest(tag, { signal });
    await this.#guard?.image(tag, fetched.descriptor, { signal });
    const subject = imageName(this.name, tag);
    const document = parseFetched(fetched, this.name);
    if (document.kind === "index") throw notASpec(subject, "an image index");
    const { config, layers } = document.value;
    const archive = layers.at(-1);
    checkImage(document.value, subject);
    if (archive === undefined) throw notASpec(subject, "an image without layers");
    return { subject, manifest: fetched.descriptor, config, layers, archive };
  }

  async #readBlob(blob: Descriptor, limit: number, what: string, signal: AbortSignal | undefined): Promise<Buffer> {
    return await rememberedDocument(this.#memory, blob, () => this.#fetchBlob(blob, limit, what, signal));
  }

  async #fetchBlob(blob: Descriptor, limit: number, what: string, signal: AbortSignal | undefined): Promise<Buffer> {
    if (blob.size > limit)
      throw new StaveError("TOO_LARGE", `${what} has ${blob.size} bytes, expected at most ${limit}`, { subject: what });
    return await withRefetch(this.target, async (from) =>
      readSized(await from.fetchBlob(blob, { signal }), blob.size, what),
    );
  }

  async readIndex(options: ReadIndexOptions = {}): Promise<CacheIndex | undefined> {
    const { signal, onIdentified } = options;
    const found = await this.#indexManifest(signal);
    await this.#guard?.index(found?.descriptor, { signal });
    if (found === undefined) return undefined;
    onIdentified?.();
    const { manifest, stored } = found;
    // Spack reads only the first layer, whatever its media type.
    const [layer] = manifest.layers;
    const name = `the index of ${this.name}`;
    if (layer === undefined) throw notASpec(name, "an image without layers", "a cache index");
    const { digest, size } = layer;
    const hint = `rebuild it with \`updateIndex("${this.name}", { full: true })\``;
    const open = () => this.target.fetchBlob(layer, { signal });
    const index = await readIndexBlob({ digest, size, name, hint, memory: this.#memory, open });
    return { ...index, stored };
  }

  async #indexManifest(
    signal: AbortSignal | undefined,
  ): Promise<{ descriptor: Descriptor; manifest: Manifest; stored: StoredIndex } | undefined> {
    try {
      const fetched = await this.target.fetchManifest(INDEX_TAG, { signal });
      const document = parseFetched(fetched, this.name);
      if (document.kind === "manifest") {
        const { descriptor, obeysConditions } = fetched;
        const stored = { digest: descriptor.digest, configDigest: document.value.config.digest, obeysConditions };
        return { descriptor, manifest: document.value, stored };
      }
      throw notASpec(imageName(this.name, INDEX_TAG), "an image index", "the cache index");
    } catch (error) {
      if (isStaveError(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }
}

/** A writable build cache. */
export class OciCache extends ReadOciCache<Target> implements ImageCache, PrunableCache {
  readonly deleter: ManifestDeleter | undefined;

  constructor(target: Target, options: OciCacheOptions = {}) {
    super(target, options);
    this.deleter = options.deleter;
  }

  async openStorage(): Promise<SpecStorage> {
    const { OciStorage } = await import("./oci-storage.ts");
    return new OciStorage(this);
  }

  async writeIndex(text: IndexText, options: WriteIndexOptions = {}): Promise<boolean> {
    const { signal, replaced } = options;
    const stored = replaced?.stored;
    // Spack labels the JSON as a compressed layer.
    const layer = {
      mediaType: OCI_LAYER_GZIP,
      size: text.size,
      // A getter, so that it can be computed while the text is sent.
      get digest() {
        return text.digest;
      },
    };
    await this.target.pushBlob(layer, text, { signal, isNew: !isSameIndex(text, replaced) });
    // Every writer uses the same config, so it exists wherever an index does.
    const config = describe(EMPTY_CONFIG, OCI_CONFIG);
    if (stored?.configDigest !== config.digest)
      await this.target.pushBlob(config, bytesSource(EMPTY_CONFIG), { signal });
    const { mediaType, digest, size } = layer;
    const manifest = { mediaType: OCI_MANIFEST, schemaVersion: 2, config, layers: [{ mediaType, digest, size }] };
    const isObeyed = stored?.obeysConditions === true;
    const condition = isObeyed ? { digest: stored.digest, isObeyed } : undefined;
    await this.target.pushManifest(canonicalBytes(manifest), OCI_MANIFEST, { tag: INDEX_TAG, condition, signal });
    return isObeyed;
  }
}

function notASpec(subject: string, what: string, expected = "the image of one spec"): StaveError {
  return new StaveError("MEDIA_TYPE", `${subject} is ${what}, expected ${expected}`, { subject });
}

function checkImage({ artifactType, config }: Manifest, subject: string): void {
  if (artifactType !== undefined) throw notASpec(subject, `an artifact of type ${printable(artifactType)}`);
  if (config.mediaType !== OCI_CONFIG && config.mediaType !== DOCKER_CONFIG)
    throw notASpec(subject, `an artifact whose config is of type ${printable(config.mediaType)}`);
}

// Spack also reads compressed configs, though it writes none.
function inflated(bytes: Buffer, subject: string): Buffer {
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzip(bytes, CONFIG_LIMIT, subject) : bytes;
}

/** The manifest of a spec's image, checked. */
interface ReadImage {
  readonly subject: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly archive: Descriptor;
}

function parseConfig(bytes: Buffer, what: string, recurring?: Recurring): JsonObject {
  const value = parseJsonBytes(bytes, { name: what, ...(recurring && { recurring }) });
  if (!isObject(value)) throw wrong({ source: { name: what } }, "", value, "an object");
  return value;
}

function specImage(
  tag: string,
  image: ReadImage,
  config: JsonObject,
  isKnown: ((hash: string) => boolean) | undefined,
): SpecImage {
  const { subject, ...parts } = image;
  const source = { name: `the config of ${subject}` };
  if (own(config, "spec") === undefined) throw invalid({ ...source, code: "SPEC_INVALID" }, "has no spec");
  const document = readSpecDocument(config, source);
  checkIdentity(document, tag, subject, isKnown);
  return { tag, ...parts, ...readConfig(config, image), document };
}

/** What a config tells beside its spec; checks it against the manifest. */
function readConfig(
  config: JsonObject,
  { subject, layers, archive }: ReadImage,
): Pick<SpecImage, "diffId" | "layoutVersion" | "archivedAt" | "env" | "joined"> {
  const source = { name: `the config of ${subject}` };
  const {
    rootfs,
    config: run,
    history,
  } = parseBySchema(JSON.stringify({ ...config, spec: null }), configSchema, source.name);
  const together = (history ?? [])
    .map(({ created_by }) => specsInHistory(created_by))
    .filter(({ length }) => length > 1);
  const joined = together.flat().map(({ hash }) => hash);
  const layoutVersion = readLayout(config, { source });
  checkArchive(config, archive, subject);
  const diffIds = rootfs.diff_ids;
  const diffId = diffIds.at(-1);
  if (diffId === undefined || diffIds.length !== layers.length)
    throw new StaveError(
      "CONTENT_INVALID",
      `${subject} has ${layers.length} layers, but its config names ${diffIds.length}`,
      { subject },
    );
  return { diffId, layoutVersion, archivedAt: timeOf(config), env: run?.Env ?? [], joined };
}

function readLayout(config: JsonObject, place: Place): number {
  const layout = own(config, "buildcache_layout_version") ?? 0;
  const isKnown = typeof layout === "number" && Number.isInteger(layout) && layout >= 0 && layout <= NEWEST_LAYOUT;
  if (isKnown) return layout;
  const hint = typeof layout === "number" && layout > NEWEST_LAYOUT ? { hint: "update stave" } : {};
  throw wrong(place, "buildcache_layout_version", layout, `a layout version up to ${NEWEST_LAYOUT}`).with(hint);
}

function timeOf(config: JsonObject): number | undefined {
  const text = own(config, "archive_timestamp");
  const time = typeof text === "string" && text.length < 64 ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

// Spack relies on the position of the layer alone; comparing both prevents the installation of a swapped layer.
function checkArchive(config: JsonObject, archive: Descriptor, subject: string): void {
  const checksum: JsonValue | undefined = own(config, "binary_cache_checksum");
  if (checksum === undefined) return;
  const place = inside({ source: { name: `the config of ${subject}` } }, "binary_cache_checksum");
  const hash = isObject(checksum) ? own(checksum, "hash") : undefined;
  if (hash !== hexOf(archive.digest))
    throw wrong(place, "hash", hash, `the digest of the last layer, ${archive.digest}`);
}
