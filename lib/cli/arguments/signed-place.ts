// Opens the image or cache whose signatures are made or checked.
import { isCacheWord, memoryFor } from "../../api/cache-choice.ts";
import { type CacheLocation, parseMirror } from "../../api/mirror-location.ts";
import type { SpackFlags } from "../../api/spack-files.ts";
import { signedName } from "../../api/trust.ts";
import { hasImages, lacks } from "../../cache/cache.ts";
import type { Transport } from "../../http/types.ts";
import { parseLocation } from "../../oci/reference.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import { closeAfterError } from "../../util/close-all.ts";
import type { DiskCache } from "../../util/disk-cache.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { readCache, writeCache } from "./cache-location.ts";
import { type Opener, openNetwork } from "./open.ts";
import type { CommonFlags } from "./shared-flags.ts";

/** The description of the argument in help texts. */
export const SIGNED_PLACE =
  "IMAGE is HOST/REPO:TAG, HOST/REPO@DIGEST or oci-layout:DIR:TAG; CACHE is oci://HOST/REPO, oci-layout:DIR or the name of a mirror, and means its specs and its index";

/** What a verb provides to open a place. */
export interface PlaceRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: CommonFlags & SpackFlags;
}

/** An open image or cache; the caller disposes of it. */
export interface SignedPlace<T> extends AsyncDisposable {
  readonly target: T;
  readonly location: CacheLocation;
  /** The tag or digest of one image; undefined for a cache. */
  readonly reference: string | undefined;
  /** The cache as statements name it; undefined for a directory, which may be moved. */
  readonly cache: string | undefined;
  readonly memory: DiskCache | undefined;
  /** The way to the network. */
  readonly transport: Transport;
}

/** Opens the place that an argument names, to sign it. Throws as `openToVerify`. */
export async function openToSign(text: string, run: PlaceRun): Promise<SignedPlace<Target>> {
  const image = await openImage(text, run);
  if (image !== undefined) return image;
  const opened = await writeCache(text, run, { create: false });
  const { cache } = opened;
  if (hasImages(cache)) return placeOf(opened, cache.target, run);
  await opened[Symbol.asyncDispose]();
  throw lacks(cache, "images");
}

/**
 * Opens the place that an argument names, to check its signatures. Throws USAGE, REFERENCE_INVALID, NOT_FOUND,
 * UNSUPPORTED for a cache without images.
 */
export async function openToVerify(text: string, run: PlaceRun): Promise<SignedPlace<ReadTarget>> {
  const image = await openImage(text, run);
  if (image !== undefined) return image;
  const opened = await readCache(text, run);
  const { cache } = opened;
  if (hasImages(cache)) return placeOf(opened, cache.target, run);
  await opened[Symbol.asyncDispose]();
  throw lacks(cache, "images");
}

/** Opens the one image that a text names; undefined for a cache. */
async function openImage(text: string, run: PlaceRun): Promise<SignedPlace<Target> | undefined> {
  const { context, output, flags } = run;
  if (!isCacheWord(text, context.cwd) || parseMirror(text, context.cwd) !== undefined) return undefined;
  const location = parseLocation(text);
  const { tag, digest } = location.kind === "layout" ? location : location.reference;
  const reference = digest ?? tag;
  if (reference === undefined) return undefined;
  const opener = await openNetwork({ context, output, flags, places: [location] });
  try {
    const target = await opener.change(location);
    const opened = { location, opener, [Symbol.asyncDispose]: () => opener.close() };
    return { ...placeOf(opened, target, run), reference };
  } catch (error) {
    await closeAfterError(() => opener.close());
    throw error;
  }
}

function placeOf<T>(
  opened: AsyncDisposable & { readonly location: CacheLocation; readonly opener: Opener },
  target: T,
  { context }: PlaceRun,
): SignedPlace<T> {
  const { location, opener } = opened;
  const { transport } = opener;
  const { memory } = memoryFor(location, context);
  const cache = signedName(location);
  const close = (): PromiseLike<void> => opened[Symbol.asyncDispose]();
  return { ...{ target, location, reference: undefined, cache, memory, transport }, [Symbol.asyncDispose]: close };
}
