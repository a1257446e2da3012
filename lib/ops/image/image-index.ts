// `image-index`: joins the images of several platforms under one tag, with any number of writers and no lock. Each
// image has a tag of its own, and the index follows from these tags alone. After writing it, they are listed again
// until nothing has changed. The last writer has listed after all others, so lost updates repair themselves.
import { GraphCopy } from "../../copy.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { type Digest, digestOf } from "../../oci/digest.ts";
import type { Index } from "../../oci/manifest.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import {
  type PlatformImage,
  plainPlatform,
  platformIndex,
  platformInTag,
  platformKey,
  platformTag,
} from "../../oci/platform-index.ts";
import { imageName } from "../../oci/reference.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import type { FetchedManifest, OperationOptions, ReadTarget, Target } from "../../target/target.ts";
import { mapLimit } from "../../util/limit.ts";
import type { ProgressSink } from "../../util/progress.ts";
import { openImage } from "./image-facts.ts";

/** One image of an index. */
export interface IndexedImage {
  platform: string;
  /** The tag of its own. */
  tag: string;
  digest: Digest;
}

/** The report of `image-index`. */
export interface ImageIndexReport {
  image: string;
  digest: Digest;
  /** False if the tag already had this index. */
  isWritten: boolean;
  /** In the order of platforms. */
  images: IndexedImage[];
}

/** An image to put into an index. */
export interface AddedImage {
  readonly target: ReadTarget;
  readonly reference: string;
  /** Its platform; default: what the config or the index says. */
  readonly platform?: Platform | undefined;
}

/** The options of `image-index`. */
export interface ImageIndexOptions extends OperationOptions {
  readonly progress?: ProgressSink | undefined;
  /** Maximum number of blobs in progress at once, for images of other repositories. */
  readonly concurrency?: number | undefined;
}

const CONCURRENCY = 8;
/** Give up after this many rounds: the tags will keep changing. */
const MAX_ROUNDS = 100;

/**
 * Adds images to the index under a tag, and copies them from other repositories first. An image of a platform that is
 * there already replaces it. Throws CONFLICT if two of the images are for the same platform, USAGE for a tag of a spec.
 */
export async function addToIndex(
  target: Target,
  tag: string,
  added: readonly AddedImage[],
  options: ImageIndexOptions = {},
): Promise<ImageIndexReport> {
  const { progress, concurrency, signal } = options;
  const images = (await mapLimit(added, CONCURRENCY, (one) => imagesOf(one, signal), signal)).flat();
  refuseTwice(images);
  for (const { platform } of images) platformTag(tag, platform);
  await adopt(target, tag, images, signal);
  for (const { source, platform, descriptor } of images) {
    const copy = new GraphCopy(source, target, { progress, concurrency, signal });
    await copy.copy(descriptor.digest, platformTag(tag, platform));
  }
  return await updateImageIndex(target, tag, { signal });
}

/** Writes the index of all images that have a tag for their platform. Throws NOT_FOUND if there is none. */
export async function updateImageIndex(
  target: Target,
  tag: string,
  { signal }: OperationOptions = {},
): Promise<ImageIndexReport> {
  let isWritten = false;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const images = await taggedImages(target, tag, signal);
    if (images.length === 0) throw noImages(imageName(target.name, tag));
    const { bytes, mediaType } = platformIndex(images);
    const digest = digestOf(bytes);
    const there = await target.headManifest(tag, { signal });
    if (there?.digest === digest) return report(target, tag, { digest, isWritten, images });
    await target.pushManifest(bytes, mediaType, { tag, signal });
    isWritten = true;
  }
  const subject = imageName(target.name, tag);
  throw new StaveError("CONFLICT", `${subject} kept changing while it was written ${MAX_ROUNDS} times`, {
    subject,
    hint: "run the same command when fewer jobs are pushing",
  });
}

interface FoundImage extends PlatformImage {
  readonly source: ReadTarget;
}

// The images that a reference names: one, or all of an index.
async function imagesOf(
  { target, reference, platform }: AddedImage,
  signal: AbortSignal | undefined,
): Promise<FoundImage[]> {
  const fetched = await target.fetchManifest(reference, { signal });
  const document = parseFetched(fetched, target.name);
  if (document.kind === "manifest") return [await imageIn(target, fetched, platform, signal)];
  const entries = platformEntries(document.value);
  const wanted =
    platform === undefined ? entries : entries.filter((one) => platformKey(one.platform) === platformKey(platform));
  const subject = imageName(target.name, reference);
  if (wanted.length === 0)
    throw new StaveError(
      "PLATFORM_MISMATCH",
      `${subject} has no image for ${platform ? formatPlatform(platform) : "a platform"}`,
      {
        subject,
        hint: "name an image, or an index of images",
      },
    );
  return wanted.map((one) => ({ ...one, source: target }));
}

async function imageIn(
  target: ReadTarget,
  fetched: FetchedManifest,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundImage> {
  const { descriptor } = fetched;
  const { config } = await openImage(target, descriptor.digest, { os: "", architecture: "" }, { signal });
  const { os, architecture, variant } = config;
  const subject = imageName(target.name, descriptor.digest);
  if (platform !== undefined && (platform.os !== os || platform.architecture !== architecture))
    throw new StaveError(
      "PLATFORM_MISMATCH",
      `${subject} is for ${os}/${architecture}, expected ${formatPlatform(platform)}`,
      { subject, hint: `name ${os}/${architecture} in front of it, or leave the platform out` },
    );
  return { source: target, platform: platform ?? { os, architecture, variant }, descriptor };
}

// The images of an index. Attestations and the like have no real platform.
function platformEntries({ manifests }: Index): PlatformImage[] {
  return manifests.flatMap((descriptor) => {
    const { platform } = descriptor;
    return platform === undefined || platform.os === "unknown" ? [] : [{ platform, descriptor }];
  });
}

function refuseTwice(images: readonly PlatformImage[]): void {
  const seen = new Map<string, Digest>();
  for (const { platform, descriptor } of images) {
    const key = platformKey(platform);
    const other = seen.get(key);
    if (other !== undefined && other !== descriptor.digest)
      throw new StaveError("CONFLICT", `two of the images are for ${key}: ${other} and ${descriptor.digest}`, {
        subject: key,
        hint: "name the level of one of them in front of it, for example linux/amd64/v3=IMAGE",
      });
    seen.set(key, descriptor.digest);
  }
}

// What the tag had before, from another tool or an earlier push without platforms, gets tags of its own.
async function adopt(
  target: Target,
  tag: string,
  added: readonly PlatformImage[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const fetched = await absentIfNone(target.fetchManifest(tag, { signal }));
  if (fetched === undefined) return;
  const document = parseFetched(fetched, target.name);
  const images =
    document.kind === "index" ? platformEntries(document.value) : [await imageIn(target, fetched, undefined, signal)];
  const known = await taggedImages(target, tag, signal);
  const digests = new Set([...known, ...added].map(({ descriptor }) => descriptor.digest));
  const keys = new Set([...known, ...added].map(({ platform }) => platformKey(platform)));
  for (const { platform, descriptor } of images) {
    if (digests.has(descriptor.digest) || keys.has(platformKey(platform))) continue;
    const { bytes } = await target.fetchManifest(descriptor.digest, { signal });
    await target.pushManifest(bytes, descriptor.mediaType, { tag: platformTag(tag, platform), signal });
  }
}

async function taggedImages(
  target: ReadTarget,
  tag: string,
  signal: AbortSignal | undefined,
): Promise<(PlatformImage & { readonly tag: string })[]> {
  const found: { tag: string; platform: Platform }[] = [];
  try {
    for await (const each of target.tags({ signal })) {
      const platform = platformInTag(tag, each);
      if (platform) found.push({ tag: each, platform: plainPlatform(platform) });
    }
  } catch (error) {
    // A repository is created by the first push to it.
    if (!isStaveError(error, "NOT_FOUND")) throw error;
  }
  found.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  const images = await mapLimit(
    found,
    CONCURRENCY,
    async (one) => ({ ...one, descriptor: await target.headManifest(one.tag, { signal }) }),
    signal,
  );
  // A tag may have been removed since it was listed.
  return images.flatMap(({ descriptor, ...one }) => (descriptor === undefined ? [] : [{ ...one, descriptor }]));
}

async function absentIfNone<T>(work: Promise<T>): Promise<T | undefined> {
  return await work.catch((error: unknown) => {
    if (isStaveError(error, "NOT_FOUND")) return undefined;
    throw error;
  });
}

function report(
  target: ReadTarget,
  tag: string,
  written: {
    readonly digest: Digest;
    readonly isWritten: boolean;
    readonly images: readonly (PlatformImage & { readonly tag: string })[];
  },
): ImageIndexReport {
  const { digest, isWritten, images } = written;
  return {
    image: imageName(target.name, tag),
    digest,
    isWritten,
    images: images.map((one) => ({
      platform: platformKey(one.platform),
      tag: one.tag,
      digest: one.descriptor.digest,
    })),
  };
}

function noImages(subject: string): StaveError {
  return new StaveError("NOT_FOUND", `${subject} has no image with a tag for its platform`, { subject });
}
