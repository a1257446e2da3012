// What the images of specs consist of, and what is attached to them: one or two questions per spec, so catalogues ask
// only on demand.
import { hasImages, type ReadCache } from "../cache/cache.ts";
import type { CacheIndex } from "../cache/index-read.ts";
import type { IndexRecord } from "../cache/record.ts";
import { isStaveError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { imageName } from "../oci/reference.ts";
import { printable } from "../printable/printable.ts";
import { specTag } from "../spack/spec/spec-name.ts";
import { parseFetched } from "../target/choose-platform.ts";
import { DOCUMENTS_AT_ONCE, type OperationOptions, type ReadTarget } from "../target/target.ts";
import { Limit } from "../util/limit.ts";
import type { ImageOrProblem, ReadImages } from "./catalogue.ts";
import type { Attached, ImageFacts } from "./catalogue-data.ts";

/** Maximum number of layers of an image that a page lists. */
const MOST_LAYERS = 200;

/** Reads images of the specs of a cache. A request that fails is an error, an image that is not one a finding. */
export function imageFactsReader(
  cache: ReadCache,
  index: Pick<CacheIndex, "records">,
  { signal }: OperationOptions = {},
): ReadImages {
  const limit = new Limit(DOCUMENTS_AT_ONCE);
  const read = async (record: IndexRecord): Promise<ImageFacts> => {
    const tag = specTag(record);
    if (hasImages(cache)) return await readImage(cache.target, tag, { signal });
    const isKnown = (hash: string): boolean => index.records.get(hash)?.isVerified === true;
    const { archive, isSigned } = await cache.fetchSpec(tag, { signal, isKnown });
    const attached = { signatures: isSigned ? 1 : 0, sboms: 0, provenance: 0, others: 0 };
    return { layers: [layerOf(archive)], ...(isSigned !== undefined && { attached }) };
  };
  return async (records) => {
    const found = await Promise.all(
      records.map((record) =>
        limit.run(async (): Promise<readonly [string, ImageOrProblem]> => {
          try {
            return [record.hash, { image: await read(record) }];
          } catch (error) {
            if (!isStaveError(error, ...FINDINGS)) throw error;
            return [record.hash, { problem: printable(error.message) }];
          }
        }),
      ),
    );
    return new Map(found);
  };
}

/** What is wrong with an image, unlike questions that were not answered. */
const FINDINGS = [
  "NOT_FOUND",
  "MEDIA_TYPE",
  "CONTENT_INVALID",
  "SPEC_INVALID",
  "TOO_LARGE",
  "DIGEST_MISMATCH",
  "SIZE_MISMATCH",
] as const;

const layerOf = ({ digest, size }: Pick<Descriptor, "digest" | "size">) => ({ digest, size });

/** Reads the image of a tag. Throws what the target throws, and MEDIA_TYPE for an image index. */
async function readImage(target: ReadTarget, tag: string, options: OperationOptions): Promise<ImageFacts> {
  const fetched = await target.fetchManifest(tag, options);
  const document = parseFetched(fetched, imageName(target.name, tag));
  const layers = document.kind === "manifest" ? document.value.layers : [];
  const attached = await attachedTo(target, fetched.descriptor, options);
  return { layers: layers.slice(-MOST_LAYERS).map(layerOf), ...(attached !== undefined && { attached }) };
}

// A registry may refuse to list what is attached, and still serve the images.
async function attachedTo(
  target: ReadTarget,
  { digest }: Descriptor,
  options: OperationOptions,
): Promise<Attached | undefined> {
  let referrers: readonly Descriptor[];
  try {
    referrers = await target.referrers(digest, options);
  } catch (error) {
    if (isStaveError(error, "UNSUPPORTED", "DENIED", "CONTENT_INVALID", "TOO_LARGE")) return undefined;
    throw error;
  }
  const counts = { signatures: 0, sboms: 0, provenance: 0, others: 0 };
  for (const referrer of referrers) counts[kindOf(referrer)]++;
  return counts;
}

// By what it says of itself: nothing here is verified.
function kindOf({ artifactType = "", annotations }: Descriptor): keyof Attached {
  const text = `${artifactType} ${annotations?.["dev.sigstore.bundle.predicateType"] ?? ""}`;
  if (/spdx|cyclonedx/i.test(text)) return "sboms";
  if (/slsa|provenance|in-toto/i.test(text)) return "provenance";
  return /sigstore|cosign|signature|notary/i.test(text) ? "signatures" : "others";
}
