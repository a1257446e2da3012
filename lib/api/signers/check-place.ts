// Checks the signatures of images and caches: by the signers that are named, otherwise by the trust policy.
import { ReadOciCache } from "../../cache/oci-cache.ts";
import { INDEX_TAG } from "../../cache/spec-tag.ts";
import { StaveError } from "../../errors.ts";
import { formatReference } from "../../oci/reference.ts";
import { type CheckSignaturesReport, checkSignatures } from "../../ops/sign/check-signatures.ts";
import { chosenImages } from "../../ops/sign/images.ts";
import type { PlaceGuard } from "../../sign/policy/place-guard.ts";
import { SignatureFinder } from "../../sign/signature/find.ts";
import { type AcceptedSignature, type ImageToJudge, Judge, NO_REVOCATIONS } from "../../sign/signature/judge.ts";
import type { OperationOptions, ReadTarget } from "../../target/target.ts";
import { formatCache } from "../places/mirror-location.ts";
import { type NamedSigners, namedSigners } from "./named-signers.ts";
import type { SignedPlace } from "./place-to-sign.ts";
import { guardsOf, type TrustUse } from "./trust.ts";

/** What to check, and by whom it must be signed. */
export interface SignatureWish {
  /** The signers that count; undefined for those of the policy. */
  readonly named: NamedSigners | undefined;
  /** Of a cache, also check every other tag. */
  readonly all?: boolean | undefined;
}

/** The result for several places. */
export interface SignatureReport {
  readonly places: readonly CheckSignaturesReport[];
  readonly signed: number;
  readonly unsigned: number;
}

/** Puts the results for several places together. */
export function signatureReport(places: readonly CheckSignaturesReport[]): SignatureReport {
  const sum = (of: (place: CheckSignaturesReport) => number): number =>
    places.reduce((total, place) => total + of(place), 0);
  return { places, signed: sum(({ signed }) => signed), unsigned: sum(({ unsigned }) => unsigned) };
}

/**
 * Checks one place. Throws USAGE if neither the caller nor the policy names a signer, NOT_FOUND, and what the policy
 * and the target throw.
 */
export async function checkPlace(
  place: SignedPlace<ReadTarget>,
  wish: SignatureWish,
  use: TrustUse,
): Promise<CheckSignaturesReport> {
  const { signal } = use.around;
  const { target, reference, memory } = place;
  const { judge, isIndexJudged } = await judgeOf(place, wish.named, use);
  const chosen = await chosenImages(target, { reference, all: wish.all }, { signal });
  const references = chosen.filter((one) => isIndexJudged || one !== INDEX_TAG || reference !== undefined);
  const cache = new ReadOciCache(target, { memory });
  return await checkSignatures({
    ...{ target, references, judge, signal },
    readSpec: (tag) => cache.fetchSpec(tag, { signal }),
  });
}

/** What a spec of a list is signed by, or why it counts as not signed. */
export type SignatureMark =
  | { readonly signer: string; readonly identity: string | undefined }
  | { readonly code: string; readonly message: string };

/** Judges specs by the trust policy; undefined if it requires no signatures there. Throws as `checkPlace`. */
export async function markSpecs(
  place: Pick<SignedPlace<ReadTarget>, "target" | "location" | "memory">,
  tags: readonly string[],
  use: TrustUse,
): Promise<ReadonlyMap<string, SignatureMark> | undefined> {
  const { target, memory } = place;
  const { signal } = use.around;
  const [guard] = await guardsOf(place.location, target, { ...use, memory, reusesBundles: true });
  if (guard === undefined || guard.rule.require === "none") return undefined;
  const { judge } = judgeBy(guard, target);
  const cache = new ReadOciCache(target, { memory });
  const readSpec = (tag: string): Promise<unknown> => cache.fetchSpec(tag, { signal });
  const { images } = await checkSignatures({ target, references: tags, judge, readSpec, isPartial: true, signal });
  return new Map(
    images.map(({ reference, signature, error }) => [
      reference,
      signature === undefined
        ? { code: error?.code ?? "SIGNATURE_MISSING", message: error?.message ?? "" }
        : { signer: signature.signer, identity: signature.identity?.name },
    ]),
  );
}

interface ChosenJudge {
  readonly judge: (image: ImageToJudge, options: OperationOptions) => Promise<AcceptedSignature>;
  /** False if the policy lets any index pass. */
  readonly isIndexJudged: boolean;
}

async function judgeOf(
  { target, location, memory }: SignedPlace<ReadTarget>,
  named: NamedSigners | undefined,
  use: TrustUse,
): Promise<ChosenJudge> {
  const { around, transport } = use;
  if (named !== undefined) {
    const finder = new SignatureFinder(target, { memory });
    const signers = await namedSigners(named, around, transport);
    const judge = new Judge({ signers, revoked: NO_REVOCATIONS }, () => around.clock.now());
    return { judge: (image, options) => judge.check(finder, image, options), isIndexJudged: true };
  }
  const [guard] = await guardsOf(location, target, { ...use, memory });
  if (guard === undefined || guard.rule.require === "none") {
    const name = location.kind === "registry" ? formatReference(location.reference) : formatCache(location);
    const policy = guard === undefined ? "there is no trust policy" : `the trust policy requires none for ${name}`;
    throw new StaveError("USAGE", `no signer was named, and ${policy}, so no signature can be trusted`, {
      hint: "name one with `key` or `certificateIdentity`, or require one by `stave trust add`",
    });
  }
  return judgeBy(guard, target);
}

function judgeBy(guard: PlaceGuard, target: ReadTarget): ChosenJudge {
  const isIndexJudged = guard.rule.index === "signed";
  return {
    isIndexJudged,
    judge: async (image, options) => {
      const isIndex = image.tag === INDEX_TAG && isIndexJudged;
      const accepted = isIndex ? await guard.index(target.name, image, options) : await guard.image(image, options);
      if (accepted !== undefined) return accepted;
      throw new StaveError("INTERNAL", `${image.name} passed without a signature`);
    },
  };
}
