// Opens the image or cache whose signatures are made or checked.

import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import type { CacheLocation } from "../../api/places/mirror-location.ts";
import { imageNamed, placeOf, type SignedPlace } from "../../api/signers/place-to-sign.ts";
import { hasImages, lacks } from "../../cache/cache.ts";
import type { ReadTarget, Target } from "../../target/target.ts";
import { closeAfterError } from "../../util/close-all.ts";
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
export type OpenPlace<T> = SignedPlace<T> & AsyncDisposable;

type OpenedPlace = AsyncDisposable & { readonly location: CacheLocation; readonly opener: Opener };

/** Opens the place that an argument names, to sign it. Throws as `openToVerify`. */
export async function openToSign(text: string, run: PlaceRun): Promise<OpenPlace<Target>> {
  const image = await openImage(text, run);
  if (image !== undefined) return image;
  const opened = await writeCache(text, run, { create: false });
  const { cache } = opened;
  if (hasImages(cache)) return cachePlace(opened, cache.target, run);
  await opened[Symbol.asyncDispose]();
  throw lacks(cache, "images");
}

/**
 * Opens the place that an argument names, to check its signatures. Throws USAGE, REFERENCE_INVALID, NOT_FOUND,
 * UNSUPPORTED for a cache without images.
 */
export async function openToVerify(text: string, run: PlaceRun): Promise<OpenPlace<ReadTarget>> {
  const image = await openImage(text, run);
  if (image !== undefined) return image;
  const opened = await readCache(text, run);
  const { cache } = opened;
  if (hasImages(cache)) return cachePlace(opened, cache.target, run);
  await opened[Symbol.asyncDispose]();
  throw lacks(cache, "images");
}

/** Opens the one image that a text names; undefined for a cache. */
async function openImage(text: string, run: PlaceRun): Promise<OpenPlace<Target> | undefined> {
  const { context, output, flags } = run;
  const named = imageNamed(text, context.cwd);
  if (named === undefined) return undefined;
  const { location, reference } = named;
  const opener = await openNetwork({ context, output, flags, places: [location] });
  try {
    const target = await opener.change(location);
    const { transport } = opener;
    const place = placeOf({ target, location, reference, transport }, context);
    return { ...place, [Symbol.asyncDispose]: () => opener.close() };
  } catch (error) {
    await closeAfterError(() => opener.close());
    throw error;
  }
}

function cachePlace<T>(opened: OpenedPlace, target: T, { context }: PlaceRun): OpenPlace<T> {
  const { location, opener } = opened;
  const place = placeOf({ target, location, reference: undefined, transport: opener.transport }, context);
  return { ...place, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}
