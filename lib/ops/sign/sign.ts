// `sign`: signs images with one signature per thousand. Images that this signer has signed already are left alone, so
// that signing again changes nothing.
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { imageName } from "../../oci/reference.ts";
import type { PrivateKey } from "../../sign/key/private-key.ts";
import { Attacher } from "../../sign/signature/attach.ts";
import { SignatureFinder } from "../../sign/signature/find.ts";
import { Judge, NO_REVOCATIONS } from "../../sign/signature/judge.ts";
import type { SignedBy, StatementSigner } from "../../sign/signature/statement-signer.ts";
import { BATCH_SIZE, SIGNATURE_PREDICATE, type Subject, statementBytes } from "../../sign/statement/statement.ts";
import type { Target } from "../../target/target.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import { mapLimit } from "../../util/limit.ts";
import type { Clock } from "../../util/time.ts";
import { imageToJudge } from "./images.ts";

/** An image to sign. */
export interface ImageToSign {
  /** Its tag or digest. */
  readonly reference: string;
  /** Its manifest, if the caller made it; it is then not asked for. */
  readonly manifest?: Descriptor | undefined;
  /** The manifest is new, so that nothing can be attached to it. */
  readonly isNew?: boolean | undefined;
}

/** How to sign in the form of cosign 2. */
export interface LegacySigning {
  readonly key: PrivateKey;
  /** `HOST/REPO` as podman knows the repository. */
  readonly repository: string;
}

/** How to sign. */
export interface SignOptions {
  readonly target: Target;
  readonly images: readonly ImageToSign[];
  readonly signer: StatementSigner;
  /** The cache as `oci://HOST/REPO`, to be signed with the images; a directory may be moved, and has none. */
  readonly cache?: string | undefined;
  /** Also sign in the form of cosign 2, for podman and skopeo. */
  readonly legacy?: LegacySigning | undefined;
  /** Report what would be signed, and write nothing. */
  readonly dryRun?: boolean | undefined;
  readonly memory?: DiskCache | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** One image of a report. */
export interface SignedImage {
  /** Its tag or digest. */
  readonly reference: string;
  readonly digest: Digest;
  /** False if the same signer had signed it before. */
  readonly isNew: boolean;
}

/** What was signed, and by whom. */
export interface SignReport extends SignedBy {
  readonly target: string;
  readonly images: readonly SignedImage[];
  /** Tags that were removed in the meantime. */
  readonly gone: readonly string[];
  /** The number of signatures made, each for at most a thousand images. */
  readonly signatures: number;
  /** The number of images that got a new signature in the form of cosign 2. */
  readonly legacy: number;
}

/** How many images are asked for at once. */
const CONCURRENCY = 16;

/** Signs images. Throws NOT_FOUND if there is only one and it does not exist, and what the target throws. */
export async function signImages(options: SignOptions): Promise<SignReport> {
  const { target, images, signer, dryRun, signal } = options;
  const unsignedOf = new Unsigned(options);
  const asked = await mapLimit(images, CONCURRENCY, (image) => unsignedOf.state(image), signal);
  const there = asked.filter((one) => one !== undefined);
  const [only] = images;
  if (there.length === 0 && only !== undefined && images.length === 1)
    throw new StaveError("NOT_FOUND", `${imageName(target.name, only.reference)} does not exist`, {
      subject: only.reference,
      hint: `list the tags with \`stave tags ${target.name}\``,
    });
  const unsigned = there.filter(({ isNew }) => isNew);
  const batches = Math.ceil(unsigned.length / BATCH_SIZE);
  if (!dryRun) {
    const attacher = new Attacher(target, { signal });
    for (let at = 0; at < unsigned.length; at += BATCH_SIZE)
      await signBatch(unsigned.slice(at, at + BATCH_SIZE), attacher, options);
    await attacher.finish();
  }
  const legacy = dryRun ? 0 : await signLegacy(there, options);
  const known = new Set(there.map(({ reference }) => reference));
  return {
    target: target.name,
    ...signer.by,
    images: there.map(({ reference, manifest: { digest }, isNew }) => ({ reference, digest, isNew })),
    gone: images.map(({ reference }) => reference).filter((reference) => !known.has(reference)),
    signatures: batches,
    legacy,
  };
}

interface ImageState {
  readonly reference: string;
  readonly manifest: Descriptor;
  readonly isNew: boolean;
}

/** Finds the images that still need a signature by this signer. */
class Unsigned {
  readonly #options: SignOptions;
  readonly #finder: SignatureFinder;
  #judge: Promise<Judge> | undefined;

  constructor(options: SignOptions) {
    const { target, memory } = options;
    this.#options = options;
    this.#finder = new SignatureFinder(target, { memory });
  }

  /** Whether an image must be signed; undefined if it does not exist. */
  async state({ reference, manifest, isNew }: ImageToSign): Promise<ImageState | undefined> {
    const { target, signer, signal } = this.#options;
    if (manifest !== undefined && isNew) return { reference, manifest, isNew };
    const found = manifest ?? (await target.headManifest(reference, { signal }));
    if (found === undefined) return undefined;
    const image = imageToJudge(target, reference, found.digest);
    let isSigned = false;
    await this.#finder.find(found.digest, { signal }, async (one) => {
      if (!signer.mayHaveMade(one.bundle)) return false;
      this.#judge ??= this.#newJudge();
      const outcome = await (await this.#judge).accepts(one, image);
      // A signature without the name, as cosign makes them, is completed by one with it.
      isSigned = "bundle" in outcome && (image.tag === undefined || outcome.isNamed);
      return isSigned;
    });
    return { reference, manifest: found, isNew: !isSigned };
  }

  async #newJudge(): Promise<Judge> {
    const { signer, clock } = this.#options;
    return new Judge({ signers: [await signer.self()], revoked: NO_REVOCATIONS }, () => clock.now());
  }
}

async function signLegacy(images: readonly ImageState[], options: SignOptions): Promise<number> {
  const { target, legacy, signal } = options;
  if (legacy === undefined) return 0;
  const { key, repository } = legacy;
  const { addLegacySignature } = await import("../../sign/signature/legacy.ts");
  const digests = [...new Set(images.map(({ manifest: { digest } }) => digest))];
  const made = await mapLimit(
    digests,
    CONCURRENCY,
    (digest) => addLegacySignature(target, { digest, repository }, key, { signal }),
    signal,
  );
  return made.filter(Boolean).length;
}

async function signBatch(batch: readonly ImageState[], attacher: Attacher, options: SignOptions): Promise<void> {
  const { target, signer, cache, clock } = options;
  const subjects = batch.map(({ reference, manifest }): Subject => {
    const { tag, dagHash } = imageToJudge(target, reference, manifest.digest);
    return { digest: manifest.digest, name: tag, dagHash };
  });
  const time = clock.now();
  // Milliseconds since the epoch grow from one signed index to the next, also if another signer signs it.
  const generation = batch.some(({ reference }) => reference === INDEX_TAG) ? time : undefined;
  const bundle = await signer.sign(statementBytes(subjects, { cache, time, generation }));
  // Several tags of one image need only one artifact.
  const images = [...new Map(batch.map(({ manifest }) => [manifest.digest, manifest])).values()];
  await attacher.add({ bundle, predicateType: SIGNATURE_PREDICATE, images });
}
