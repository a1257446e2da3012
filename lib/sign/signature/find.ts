// Finds the signatures of an image: reads its referrers and their bundles, within limits, because anyone who may push
// can attach as many as they like. What is found is parsed, not trusted.
import { isStaveError, StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Manifest, parseManifest } from "../../oci/manifest.ts";
import { isIndexType } from "../../oci/mediatype.ts";
import { withRefetch } from "../../target/refetch.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { rememberedDocument } from "../../util/remembered-blob.ts";
import { readSized } from "../../util/stream.ts";
import { BUNDLE_FAMILY, BUNDLE_LIMIT, type Bundle, parseBundle } from "../statement/bundle.ts";
import { parseStatement, SIGNATURE_PREDICATE, type Statement } from "../statement/statement.ts";
import { PREDICATE_ANNOTATION } from "./attach.ts";

/** Maximum number of referrers of an image that are read as signatures. */
const CANDIDATE_LIMIT = 64;
/** Maximum number of bytes of the manifest of a signature. */
const SIGNATURE_MANIFEST_LIMIT = 64 * 1024;
/** Maximum number of bytes of bundles that are read for one image. */
const IMAGE_LIMIT = 32 * 1024 * 1024;
/** Maximum number of bundles that are kept in memory, and of their bytes. */
const MOST_KEPT = 256;
const MOST_KEPT_BYTES = 64 * 1024 * 1024;

/**
 * A bundle and its statement, parsed. The statement is believed only once a trusted signer's signature was checked.
 */
export interface ReadBundle {
  readonly digest: Digest;
  readonly bundle: Bundle;
  readonly statement: Statement;
}

/** What an image has attached. */
export interface FoundSignatures {
  readonly bundles: readonly ReadBundle[];
  /** Why others that look like signatures cannot be used. */
  readonly broken: readonly StaveError[];
  /** The number of candidates that were not read because there are too many. */
  readonly unread: number;
}

/** Reads signatures of the images of one target. Each bundle is read and parsed once, however many images share it. */
export class SignatureFinder {
  readonly name: string;
  readonly #target: ReadTarget;
  readonly #memory: DiskCache | undefined;
  readonly #bundles = new Map<Digest, Promise<ReadBundle>>();
  #bytes = 0;

  constructor(target: ReadTarget, { memory }: { readonly memory?: DiskCache | undefined } = {}) {
    this.name = target.name;
    this.#target = target;
    this.#memory = memory;
  }

  /**
   * Reads the signatures of an image, most likely ones first; stops once `isEnough` accepts one. A request that fails
   * is an error, never an absent signature.
   */
  async find(
    image: Digest,
    options: OperationOptions = {},
    isEnough: (found: ReadBundle) => Promise<boolean> = () => Promise.resolve(false),
  ): Promise<FoundSignatures> {
    const bundles: ReadBundle[] = [];
    const broken: StaveError[] = [];
    const listed = (await this.#target.referrers(image, options)).filter(mayBeSignature);
    const candidates = listed.toSorted((a, b) => rank(a) - rank(b));
    let bytes = 0;
    for (const [at, candidate] of candidates.entries()) {
      if (at >= CANDIDATE_LIMIT || bytes > IMAGE_LIMIT) return { bundles, broken, unread: candidates.length - at };
      let found: ReadBundle;
      try {
        const layer = await this.#bundleOf(candidate, image, options);
        if (layer === undefined) continue;
        bytes += layer.size;
        found = await this.#read(layer, options);
      } catch (error) {
        if (!isStaveError(error, ...BROKEN)) throw error;
        broken.push(error);
        continue;
      }
      bundles.push(found);
      if (await isEnough(found)) break;
    }
    return { bundles, broken, unread: 0 };
  }

  /** The bundle that a referrer attaches to an image; undefined if it attaches something else. */
  async #bundleOf(candidate: Descriptor, image: Digest, options: OperationOptions): Promise<Descriptor | undefined> {
    const fetched = await this.#target.fetchManifest(candidate.digest, { ...options, limit: SIGNATURE_MANIFEST_LIMIT });
    const document = parseManifest(fetched.bytes, fetched.descriptor.mediaType, `signature ${candidate.digest}`);
    if (document.kind === "index" || document.value.subject?.digest !== image) return undefined;
    return bundleLayer(document.value);
  }

  #read(layer: Descriptor, options: OperationOptions): Promise<ReadBundle> {
    const known = this.#bundles.get(layer.digest);
    if (known !== undefined) return known;
    const reading = this.#readOnce(layer, options);
    // Anyone can attach large ones.
    if (this.#bundles.size >= MOST_KEPT || this.#bytes + layer.size > MOST_KEPT_BYTES) {
      this.#bundles.clear();
      this.#bytes = 0;
    }
    this.#bundles.set(layer.digest, reading);
    this.#bytes += layer.size;
    // A request that failed is tried again for the next image.
    reading.catch((error: unknown) => {
      if (!isStaveError(error, ...BROKEN)) this.#bundles.delete(layer.digest);
    });
    return reading;
  }

  async #readOnce(layer: Descriptor, options: OperationOptions): Promise<ReadBundle> {
    const name = `signature ${layer.digest}`;
    if (layer.size > BUNDLE_LIMIT)
      throw new StaveError("SIGNATURE_INVALID", `${name} has ${layer.size} bytes, expected at most ${BUNDLE_LIMIT}`);
    const bytes = await this.#fetch(layer, name, options);
    const bundle = parseBundle(bytes, name);
    return { digest: layer.digest, bundle, statement: parseStatement(bundle.payload, `the statement of ${name}`) };
  }

  async #fetch(layer: Descriptor, name: string, options: OperationOptions): Promise<Buffer> {
    return await rememberedDocument(this.#memory, layer, () =>
      withRefetch(this.#target, async (from) =>
        readSized(await from.fetchBlob(layer, { ...options, isDocument: true }), layer.size, name),
      ),
    );
  }
}

/** Content that is wrong for good; other errors mean that the question was not answered. */
const BROKEN = [
  "SIGNATURE_INVALID",
  "NOT_FOUND",
  "DIGEST_MISMATCH",
  "SIZE_MISMATCH",
  "MEDIA_TYPE",
  "TOO_LARGE",
  "CONTENT_INVALID",
] as const;

// Fallback lists may lack the artifact type; the manifest decides then.
function mayBeSignature({ mediaType, artifactType }: Descriptor): boolean {
  return !isIndexType(mediaType) && (artifactType === undefined || artifactType.startsWith(BUNDLE_FAMILY));
}

// Only the order: anyone can write annotations.
function rank({ artifactType, annotations }: Descriptor): number {
  const predicate = annotations?.[PREDICATE_ANNOTATION];
  if (predicate !== undefined) return predicate === SIGNATURE_PREDICATE ? 0 : 3;
  return artifactType === undefined ? 2 : 1;
}

/** The only layer of a signature. cosign, too, passes over artifacts with several. */
function bundleLayer({ layers }: Manifest): Descriptor | undefined {
  const [layer] = layers;
  return layers.length === 1 && layer?.mediaType.startsWith(BUNDLE_FAMILY) ? layer : undefined;
}
