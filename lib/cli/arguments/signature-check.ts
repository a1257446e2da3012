// Checks the signatures of the images and caches that are named on the command line, by the keys that are named there.
import { resolve } from "node:path";
import type { SpackFlags } from "../../api/spack-files.ts";
import { ReadOciCache } from "../../cache/oci-cache.ts";
import { StaveError } from "../../errors.ts";
import { type CheckSignaturesReport, checkSignatures } from "../../ops/sign/check-signatures.ts";
import { chosenImages } from "../../ops/sign/images.ts";
import { readPublicKey } from "../../sign/key/key-file.ts";
import { SignatureFinder } from "../../sign/signature/find.ts";
import { Judge, NO_REVOCATIONS, type Requirement, type Signer } from "../../sign/signature/judge.ts";
import type { Context } from "../machine/context.ts";
import type { Output } from "../output/output.ts";
import type { CommonFlags } from "./shared-flags.ts";
import { openToVerify } from "./signed-place.ts";

/** The flags that say whose signatures count. */
export interface SignatureFlags {
  key?: string[];
  all?: boolean;
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

/** Checks the signatures of images and caches. Throws USAGE without a place or a key. */
export async function signatureReport(run: SignatureRun, words: readonly string[]): Promise<SignatureReport> {
  if (words.length === 0)
    throw new StaveError("USAGE", "no image and no cache was named", {
      hint: "for example `stave verify oci://HOST/REPO --key release.pub`",
    });
  const requirement = await keyRequirement(run);
  const places: CheckSignaturesReport[] = [];
  for (const word of words) places.push(await checkPlace(run, word, requirement));
  const sum = (of: (place: CheckSignaturesReport) => number): number =>
    places.reduce((total, place) => total + of(place), 0);
  return { places, signed: sum(({ signed }) => signed), unsigned: sum(({ unsigned }) => unsigned) };
}

/** The keys of `--key`, any of which suffices. */
async function keyRequirement({ context, flags: { key = [] } }: SignatureRun): Promise<Requirement> {
  if (key.length === 0)
    throw new StaveError("USAGE", "no key was named, so no signature can be trusted", {
      hint: "name the public key of the signer with --key FILE",
    });
  const signers: Signer[] = [];
  for (const name of key) signers.push({ name, key: await readPublicKey(resolve(context.cwd, name)) });
  return { signers, revoked: NO_REVOCATIONS };
}

async function checkPlace(run: SignatureRun, word: string, requirement: Requirement): Promise<CheckSignaturesReport> {
  const { context, flags } = run;
  const { clock, signal } = context;
  await using place = await openToVerify(word, run);
  const { target, reference, memory } = place;
  const references = await chosenImages(target, { reference, all: flags.all }, { signal });
  const cache = new ReadOciCache(target, { memory });
  return await checkSignatures({
    ...{ target, references, signal },
    finder: new SignatureFinder(target, { memory }),
    judge: new Judge(requirement, () => clock.now()),
    readSpec: (tag) => cache.fetchSpec(tag, { signal }),
  });
}
