// `tag`: gives an image more tags in its repository.
import { StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseTag } from "../../oci/reference.ts";
import type { OperationOptions, ReadTarget, Target } from "../../target/target.ts";

/** One tag that was set. */
export interface SetTag {
  readonly tag: string;
  /** The digest that it named before; null if it is new. */
  readonly before: Digest | null;
}

/** The report of `tag`. */
export interface TagReport {
  readonly name: string;
  readonly digest: Digest;
  readonly tags: readonly SetTag[];
  /** Nothing was written. */
  readonly isDryRun: boolean;
}

/**
 * Sets tags on the image or index that `reference` names. Throws USAGE for tags of specs, which only a push may set,
 * and NOT_FOUND.
 */
export async function tagImage(
  target: Target | ReadTarget,
  reference: string,
  tags: readonly string[],
  options: OperationOptions & { readonly dryRun?: boolean | undefined } = {},
): Promise<TagReport> {
  const { dryRun: isDryRun = false, signal } = options;
  for (const tag of tags)
    if (parseTag(tag).endsWith(".spack"))
      throw new StaveError("USAGE", `${tag} is a name for a spec of a build cache`, {
        subject: tag,
        hint: "choose a tag that does not end in .spack",
      });
  const { bytes, descriptor } = await target.fetchManifest(reference, { signal });
  const set: SetTag[] = [];
  for (const tag of new Set(tags)) {
    const before = await target.headManifest(tag, { signal });
    if (before?.digest !== descriptor.digest && !isDryRun && "pushManifest" in target)
      await target.pushManifest(bytes, descriptor.mediaType, { tag, digest: descriptor.digest, signal });
    set.push({ tag, before: before?.digest ?? null });
  }
  return { name: target.name, digest: descriptor.digest, tags: set, isDryRun };
}
