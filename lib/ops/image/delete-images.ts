// `delete`: removes tags and manifests from a repository.
import { isStaveError, StaveError } from "../../errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { imageName } from "../../oci/reference.ts";
import type { ManifestDeleter, OperationOptions, ReadTarget, Target } from "../../target/target.ts";

/** One thing to delete. */
export interface DoomedImage {
  /** As it was named: a tag, or a digest for the manifest with all its tags. */
  readonly reference: string;
  readonly kind: "tag" | "manifest";
  readonly digest: Digest;
  /** How many manifests refer to it, such as signatures; they stay. */
  readonly referrers: number;
}

/** The report of `delete`. */
export interface DeleteReport {
  readonly name: string;
  readonly images: readonly DoomedImage[];
  /** Nothing was deleted. */
  readonly isDryRun: boolean;
}

/** Looks for what is to be deleted. Throws NOT_FOUND for the first that is not there. */
export async function findDoomed(
  target: ReadTarget,
  references: readonly string[],
  { signal }: OperationOptions = {},
): Promise<DoomedImage[]> {
  const found: DoomedImage[] = [];
  for (const reference of new Set(references)) {
    const descriptor = await target.headManifest(reference, { signal });
    if (descriptor === undefined)
      throw new StaveError("NOT_FOUND", `${imageName(target.name, reference)} does not exist`, {
        subject: reference,
        hint: `list the tags with \`stave tags ${target.name}\``,
      });
    const { digest } = descriptor;
    const kind = isDigest(reference) ? "manifest" : "tag";
    const referrers = kind === "tag" ? 0 : (await target.referrers(digest, { signal })).length;
    found.push({ reference, kind, digest, referrers });
  }
  return found;
}

/**
 * Deletes what was found; manifests by `deleter` if the target does not. Throws UNSUPPORTED if the registry cannot, and
 * what the deleter throws.
 */
export async function deleteImages(
  target: Target,
  images: readonly DoomedImage[],
  { signal, deleter }: OperationOptions & { readonly deleter?: ManifestDeleter | undefined } = {},
): Promise<void> {
  let isOpen = false;
  for (const { reference, kind, digest } of images)
    try {
      await target.deleteManifest(reference, { signal });
    } catch (error) {
      if (kind === "manifest" && deleter !== undefined && isStaveError(error, "UNSUPPORTED")) {
        if (!isOpen) await deleter.open({ signal });
        isOpen = true;
        await deleter.deleteManifest(digest, { signal });
        continue;
      }
      if (kind === "tag" && isStaveError(error) && deletesNoTags(error))
        throw error.with({
          code: "UNSUPPORTED",
          message: `${target.name} does not delete tags, only whole manifests`,
          hint: `to delete the manifest with all its tags: stave delete ${imageName(target.name, digest)}`,
        });
      throw error;
    }
}

// Docker's registry takes the tag for a malformed digest.
function deletesNoTags({ code, registry }: StaveError): boolean {
  return code === "UNSUPPORTED" || registry?.some((entry) => entry.code === "DIGEST_INVALID") === true;
}
