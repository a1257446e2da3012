// Checks the signatures of images: one of them, or all of a cache. A missing or bad signature is an answer in the
// report; only a question that was not answered is an error.
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { type ErrorCode, isStaveError, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { imageName } from "../../oci/reference.ts";
import type { AcceptedSignature, ImageToJudge } from "../../sign/signature/judge.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import { imageToJudge } from "./images.ts";

/** How to check signatures. */
export interface CheckSignaturesOptions {
  readonly target: ReadTarget;
  /** The tags or digests of the images. */
  readonly references: readonly string[];
  /** Judges one image; returns the signature that makes it acceptable, or fails. */
  readonly judge: (image: ImageToJudge, options: OperationOptions) => Promise<AcceptedSignature>;
  /** Reads the image of a spec and fails unless it is the spec that its tag names. */
  readonly readSpec: (tag: string) => Promise<unknown>;
  /** The references are a part of a list, so that a single one that does not exist is no error. */
  readonly isPartial?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One image of a report. */
export interface CheckedImage {
  /** Its tag or digest. */
  readonly reference: string;
  /** Undefined if it does not exist. */
  readonly digest: Digest | undefined;
  /** The signature that was accepted, if any. */
  readonly signature?: AcceptedSignature;
  /** Why none was accepted. */
  readonly error?: StaveError;
}

/** The result of a check. */
export interface CheckSignaturesReport {
  readonly target: string;
  readonly images: readonly CheckedImage[];
  readonly signed: number;
  readonly unsigned: number;
}

const CONCURRENCY = 16;

/** The codes that answer the question; all others mean that it was not answered. */
const ANSWERS: readonly ErrorCode[] = [
  "SIGNATURE_MISSING",
  "SIGNATURE_INVALID",
  "IDENTITY_MISMATCH",
  "REVOKED",
  "INDEX_OUTDATED",
];

/** Checks signatures. Throws what the target throws, and NOT_FOUND if the only image does not exist. */
export async function checkSignatures(options: CheckSignaturesOptions): Promise<CheckSignaturesReport> {
  const { target, references, signal } = options;
  const images = await mapLimit(references, CONCURRENCY, (reference) => checkOne(reference, options), signal);
  const signed = images.filter(({ signature }) => signature !== undefined).length;
  return { target: target.name, images, signed, unsigned: images.length - signed };
}

async function checkOne(reference: string, options: CheckSignaturesOptions): Promise<CheckedImage> {
  const { target, judge, readSpec, signal } = options;
  const manifest = await target.headManifest(reference, { signal });
  if (manifest === undefined) {
    const name = imageName(target.name, reference);
    const error = new StaveError("NOT_FOUND", `${name} does not exist`, {
      subject: name,
      hint: `list the tags with \`stave tags ${target.name}\``,
    });
    if (options.references.length === 1 && !options.isPartial) throw error;
    return { reference, digest: undefined, error };
  }
  const { digest } = manifest;
  const image = imageToJudge(target, reference, digest);
  try {
    const signature = await judge(image, { signal });
    // The digest alone does not say that the image is the spec of its tag.
    if (!signature.isNamed && image.dagHash !== undefined && reference !== INDEX_TAG) await isOfTag(image, readSpec);
    return { reference, digest, signature };
  } catch (error) {
    if (!isStaveError(error, ...ANSWERS)) throw error;
    return { reference, digest, error };
  }
}

async function isOfTag({ name, tag = "" }: ImageToJudge, readSpec: (tag: string) => Promise<unknown>): Promise<void> {
  await readSpec(tag).catch((error: unknown) => {
    if (!isStaveError(error, "SPEC_INVALID", "CONTENT_INVALID", "MEDIA_TYPE")) throw error;
    throw new StaveError("SIGNATURE_INVALID", `${name} is signed, but it is not what its tag says: ${error.message}`, {
      subject: name,
      cause: error,
    });
  });
}
