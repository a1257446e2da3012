// Checks the signatures of the images and caches that are named on the command line: by the signers that are named
// there, otherwise by the trust policy.
import { namedSigners } from "../../api/named-signers.ts";
import type { SpackFlags } from "../../api/spack-files.ts";
import { guardsOf, type TrustOptions } from "../../api/trust.ts";
import { ReadOciCache } from "../../cache/oci-cache.ts";
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { type CheckSignaturesReport, checkSignatures } from "../../ops/sign/check-signatures.ts";
import { chosenImages } from "../../ops/sign/images.ts";
import { SignatureFinder } from "../../sign/signature/find.ts";
import { type AcceptedSignature, type ImageToJudge, Judge, NO_REVOCATIONS } from "../../sign/signature/judge.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import { type CommonFlags, type SignerFlags, signersOf } from "./shared-flags.ts";
import { openToVerify, type SignedPlace } from "./signed-place.ts";

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

/** The result for all places. */
export interface SignatureReport {
  readonly places: readonly CheckSignaturesReport[];
  readonly signed: number;
  readonly unsigned: number;
}

/**
 * Checks the signatures of images and caches. Throws USAGE without a place, and if neither a flag nor the policy names
 * a signer.
 */
export async function signatureReport(run: SignatureRun, words: readonly string[]): Promise<SignatureReport> {
  if (words.length === 0)
    throw new StaveError("USAGE", "no image and no cache was named", {
      hint: "for example `stave verify oci://HOST/REPO --key release.pub`",
    });
  const places: CheckSignaturesReport[] = [];
  for (const word of words) places.push(await checkPlace(run, word));
  const sum = (of: (place: CheckSignaturesReport) => number): number =>
    places.reduce((total, place) => total + of(place), 0);
  return { places, signed: sum(({ signed }) => signed), unsigned: sum(({ unsigned }) => unsigned) };
}

async function checkPlace(run: SignatureRun, word: string): Promise<CheckSignaturesReport> {
  const { context, flags } = run;
  const { signal } = context;
  signersOf(flags);
  await using place = await openToVerify(word, run);
  const { target, reference, memory } = place;
  const { judge, isIndexJudged } = await judgeFor(run, place, word);
  const chosen = await chosenImages(target, { reference, all: flags.all }, { signal });
  const references = chosen.filter((one) => isIndexJudged || one !== INDEX_TAG || reference !== undefined);
  const cache = new ReadOciCache(target, { memory });
  return await checkSignatures({
    ...{ target, references, judge, signal },
    readSpec: (tag) => cache.fetchSpec(tag, { signal }),
  });
}

interface ChosenJudge {
  readonly judge: (image: ImageToJudge, options: OperationOptions) => Promise<AcceptedSignature>;
  /** False if the policy lets any index pass. */
  readonly isIndexJudged: boolean;
}

async function judgeFor(
  { context, output, flags }: SignatureRun,
  place: SignedPlace<ReadTarget>,
  word: string,
): Promise<ChosenJudge> {
  const { target, location, memory } = place;
  const named = signersOf(flags);
  const transport = flags.offline ? undefined : place.transport;
  if (named !== undefined) {
    const finder = new SignatureFinder(target, { memory });
    const signers = await namedSigners(named, context, transport);
    const judge = new Judge({ signers, revoked: NO_REVOCATIONS }, () => context.clock.now());
    return { judge: (image, options) => judge.check(finder, image, options), isIndexJudged: true };
  }
  const onWarning = (text: string): void => output.warn(text);
  const [guard] = await guardsOf(location, target, { around: context, options: flags, transport, onWarning, memory });
  if (guard === undefined || guard.rule.require === "none") {
    const policy = guard === undefined ? "there is no trust policy" : `the trust policy requires none for ${word}`;
    throw new StaveError("USAGE", `no signer was named, and ${policy}, so no signature can be trusted`, {
      hint: "name one with --key FILE or --certificate-identity NAME, or require one by `stave trust add`",
    });
  }
  return {
    isIndexJudged: guard.rule.index === "signed",
    judge: async (image, options) => {
      const accepted =
        image.tag === INDEX_TAG && guard.rule.index === "signed"
          ? await guard.index(target.name, image, options)
          : await guard.image(image, options);
      if (accepted !== undefined) return accepted;
      throw new StaveError("INTERNAL", `${image.name} passed without a signature`);
    },
  };
}
