// Checks the signatures of the images and caches that are named on the command line: by the signers that are named
// there, otherwise by the trust policy.

import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { checkPlace, type SignatureReport, signatureReport } from "../../api/signers/check-place.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { StaveError } from "../../errors.ts";
import type { CheckSignaturesReport } from "../../ops/sign/check-signatures.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { CommonFlags } from "./shared-flags.ts";
import { openToVerify } from "./signed-place.ts";
import { type SignerFlags, signersOf } from "./signer-flags.ts";

/** The flags that say whose signatures count. */
export interface SignatureFlags extends SignerFlags, TrustOptions {
  all?: boolean;
  offline?: boolean;
}

/** What a verb provides for a check. */
export interface SignatureRun {
  readonly context: Context;
  readonly output: Output;
  readonly flags: CommonFlags & SpackFlags & SignatureFlags;
}

/**
 * Checks the signatures of images and caches. Throws USAGE without a place, and if neither a flag nor the policy names
 * a signer.
 */
export async function checkWords(run: SignatureRun, words: readonly string[]): Promise<SignatureReport> {
  if (words.length === 0)
    throw new StaveError("USAGE", "no image and no cache was named", {
      hint: "for example `stave verify oci://HOST/REPO --key release.pub`",
    });
  const { context, output, flags } = run;
  const wish = { named: signersOf(flags), all: flags.all };
  const onWarning = (text: string): void => output.warn(text);
  const places: CheckSignaturesReport[] = [];
  for (const word of words) {
    await using place = await openToVerify(word, run);
    const transport = flags.offline ? undefined : place.transport;
    places.push(await checkPlace(place, wish, { around: context, options: flags, transport, onWarning }));
  }
  return signatureReport(places);
}
