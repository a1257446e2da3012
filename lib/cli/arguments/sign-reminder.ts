// Says that something new is not signed, where the trust policy requires signatures: what a verb writes replaces what
// was signed, and readers would refuse it.
import { type CacheLocation, formatCache } from "../../api/places/mirror-location.ts";
import { policyPath, policyPlace, readPolicy, type TrustOptions } from "../../api/signers/trust.ts";
import { isStaveError } from "../../errors.ts";
import { formatLocation } from "../../oci/reference.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";

/** What a verb provides for a reminder. */
export interface ReminderRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: TrustOptions;
}

/** What is new: images, or only the index of a cache. */
export interface NewContent {
  readonly kind: "images" | "index";
  /** In words, for example `the copy has no signatures`. */
  readonly what: string;
}

/** An index that was written anew. */
export const NEW_INDEX: NewContent = { kind: "index", what: "the new index has no signature" };

/** Reminds to sign, if the policy requires it; never fails, because the work is done. */
export async function remindToSign(
  location: CacheLocation,
  { kind, what }: NewContent,
  run: ReminderRun,
): Promise<void> {
  const { context, output, flags } = run;
  try {
    if (policyPath(context, flags) === undefined) return;
    const policy = await readPolicy(context, flags, undefined);
    const rule = await policy?.ruleFor(await policyPlace(location, context.cwd));
    if (rule?.require !== "signature" || (kind === "index" && rule.index !== "signed")) return;
    const isMirror = location.kind !== "registry" && location.kind !== "layout";
    const place = isMirror ? formatCache(location) : formatLocation(location);
    output.note(`${what}; the trust policy requires signatures here: \`${output.command(`stave sign ${place}`)}\``);
  } catch (error) {
    if (!isStaveError(error)) throw error;
    output.warn(`whether signatures are required is unknown: ${error.message}`);
  }
}
