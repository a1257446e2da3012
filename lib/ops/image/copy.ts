// `copy`: an image, or every tag of a repository, from one target to another.
import { type CopyOptions, type CopyReport, GraphCopy } from "../../copy.ts";
import { aggregate, isStaveError, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import { concernsAll } from "../../util/failures.ts";
import { matchesGlob } from "../../util/glob.ts";
import { forEachLimit } from "../../util/limit.ts";

/** The report of `copy`; bytes counts only what was transferred. */
export interface CopyImagesReport extends Omit<CopyReport, "root"> {
  source: string;
  destination: string;
  images: { source: string; tag: string | undefined; digest: Digest; size: number }[];
}

/** The options of `copy`. */
export interface CopyImagesOptions extends Omit<CopyOptions, "tag" | "keepGoing" | "allTags"> {
  /** The tag or digest to copy; undefined copies every tag under its own name. */
  reference: string | undefined;
  /** The tag in the destination; if undefined, the image can be reached only by digest. */
  tag: string | undefined;
  /** Of all tags, copy only those that match this glob. */
  match?: string | undefined;
}

/** How many tags are copied at once; their blobs share one limit. */
const TAG_CONCURRENCY = 4;

/** Copies one image, or every tag if `reference` is undefined. Throws what the graph copy throws. */
export async function copyImages(
  source: ReadTarget,
  destination: Target,
  options: CopyImagesOptions,
): Promise<CopyImagesReport> {
  const { reference, tag, match, ...rest } = options;
  if (reference === undefined) return await copyAllTags(source, destination, { ...rest, match });
  const { root, ...counts } = await new GraphCopy(source, destination, rest).copy(reference, tag);
  const image = { source: reference, tag, digest: root.digest, size: root.size };
  return { source: source.name, destination: destination.name, images: [image], ...counts };
}

/**
 * Copies every tag and continues after failures, unless they concern all tags. Throws PARTIAL with all of them at the
 * end.
 */
async function copyAllTags(
  source: ReadTarget,
  destination: Target,
  { match, ...options }: Omit<CopyImagesOptions, "reference" | "tag">,
): Promise<CopyImagesReport> {
  const copy = new GraphCopy(source, destination, { ...options, keepGoing: true, allTags: true });
  const images: CopyImagesReport["images"] = [];
  const failures: StaveError[] = [];
  const one = async (tag: string) => {
    if (match !== undefined && !matchesGlob(match, tag)) return;
    try {
      const { root } = await copy.copy(tag, tag);
      images.push({ source: tag, tag, digest: root.digest, size: root.size });
    } catch (error) {
      if (!isStaveError(error) || error.code === "ABORTED" || concernsAll(error)) throw error;
      failures.push(error.with({ subject: error.subject ?? tag }));
    }
  };
  await forEachLimit(source.tags({ signal: options.signal }), TAG_CONCURRENCY, one, options.signal);
  if (failures.length > 0) throw aggregate(failures, `of ${failures.length + images.length} tags`);
  if (images.length === 0)
    throw new StaveError("NOT_FOUND", `${source.name} has no ${match === undefined ? "tags" : `tag ${match}`}`, {
      side: "source",
      subject: source.name,
    });
  images.sort((a, b) => (a.source < b.source ? -1 : 1));
  return { source: source.name, destination: destination.name, images, ...copy.counts() };
}
