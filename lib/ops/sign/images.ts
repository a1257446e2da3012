// The images that are signed or whose signatures are checked: one image, or those of a whole cache.
import { INDEX_TAG, isAttachmentTag, parseSpecTag } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { imageName } from "../../oci/reference.ts";
import type { ImageToJudge } from "../../sign/signature/judge.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";

/** What to sign or to check. */
export interface ImageChoice {
  /** The tag or digest of one image; undefined for all specs and the index. */
  readonly reference?: string | undefined;
  /** Also all other tags of the cache. */
  readonly all?: boolean | undefined;
}

/**
 * The tags or digests of a choice, in order. Throws NOT_FOUND for a cache without images, REFERENCE_INVALID for a
 * digest that signatures cannot name.
 */
export async function chosenImages(
  target: ReadTarget,
  { reference, all }: ImageChoice,
  options: OperationOptions = {},
): Promise<string[]> {
  if (reference?.startsWith("sha512:"))
    throw new StaveError(
      "REFERENCE_INVALID",
      `${imageName(target.name, reference)}: signatures name sha256 digests only`,
    );
  if (reference !== undefined) return [reference];
  const found: string[] = [];
  for await (const tag of target.tags(options)) {
    const isOfCache = tag === INDEX_TAG || parseSpecTag(tag) !== undefined;
    if (isOfCache || (all && !isAttachmentTag(tag))) found.push(tag);
  }
  if (found.length > 0) return found.toSorted();
  throw new StaveError("NOT_FOUND", `${target.name} has no ${all ? "tags" : "specs and no index"}`, {
    subject: target.name,
    hint: all ? "push something first" : "name an image by its tag, or add `all` for every tag",
  });
}

/** An image as its signatures are judged. */
export function imageToJudge(target: ReadTarget, reference: string, digest: Digest): ImageToJudge {
  const tag = isDigest(reference) ? undefined : reference;
  const dagHash = tag === undefined ? undefined : parseSpecTag(tag)?.hash;
  return { name: imageName(target.name, reference), digest, tag, dagHash };
}
