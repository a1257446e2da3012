// The place and the image that `stave trust` is asked about.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { cacheLocation, isCacheWord } from "../../api/places/cache-choice.ts";
import { type CacheLocation, parseMirror } from "../../api/places/mirror-location.ts";
import { guardsOf, policyPlace, readPolicy, type TrustOptions } from "../../api/signers/trust.ts";
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { isStaveError, StaveError } from "../../errors.ts";
import { imageName, parseLocation } from "../../oci/reference.ts";
import { imageToJudge } from "../../ops/sign/images.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { Explanation } from "../output/trust-text.ts";
import type { CommonFlags } from "./shared-flags.ts";
import { openToVerify } from "./signed-place.ts";

/** The form of a place in policies. */
export async function formOfPlace(
  text: string,
  { context, flags }: { readonly context: Context; readonly flags: SpackFlags },
): Promise<string> {
  return await policyPlace(locationOf(text, context, flags), context.cwd);
}

function locationOf(text: string, context: Context, flags: SpackFlags): CacheLocation {
  if (isCacheWord(text, context.cwd)) return parseMirror(text, context.cwd) ?? parseLocation(text);
  return cacheLocation(text, "fetch", context, () => new SpackFiles(context, flags)).location;
}

/** Applies the policy to one image. Throws NOT_FOUND, USAGE, and what the policy and the target throw. */
export async function explainImage(
  text: string,
  run: {
    readonly context: Context;
    readonly output: Output;
    readonly flags: CommonFlags & SpackFlags & TrustOptions;
  },
): Promise<Explanation> {
  const { context, flags, output } = run;
  const { signal } = context;
  const location = locationOf(text, context, flags);
  await using place = await openToVerify(text, run);
  const { target, reference, memory, transport } = place;
  if (reference === undefined)
    throw new StaveError("USAGE", `${text} is a cache, expected an image`, { hint: "add a tag or a digest" });
  const manifest = await target.headManifest(reference, { signal });
  const image = imageName(target.name, reference);
  if (manifest === undefined) throw new StaveError("NOT_FOUND", `${image} does not exist`, { subject: image });
  const { digest } = manifest;
  const policy = await readPolicy(context, flags, transport);
  const rule = await policy?.ruleFor(await policyPlace(location, context.cwd));
  const onWarning = (warning: string): void => output.warn(warning);
  const use = { around: context, options: flags, transport, onWarning, memory };
  const [guard] = await guardsOf(location, target, use);
  const common = { policy: policy?.path, rule, image, digest };
  try {
    const isIndex = reference === INDEX_TAG && guard?.rule.index === "signed";
    const signature = isIndex
      ? await guard.index(target.name, manifest, { signal })
      : await guard?.image(imageToJudge(target, reference, digest), { signal });
    return { ...common, signature, error: undefined };
  } catch (error) {
    if (!isStaveError(error) || error.exitCode !== 8) throw error;
    return { ...common, signature: undefined, error };
  }
}
