// `sign` and `verify`: the signatures of images and caches, as functions of the library.
import { chosenImages } from "../../ops/sign/images.ts";
import { type SignReport, signImages } from "../../ops/sign/sign.ts";
import type { Target } from "../../target/target.ts";
import { closeAfterError } from "../../util/close-all.ts";
import { checkPlace, type SignatureReport, signatureReport } from "../signers/check-place.ts";
import { type NamedSigners, namesSigners } from "../signers/named-signers.ts";
import { imageNamed, placeOf, type SignedPlace } from "../signers/place-to-sign.ts";
import { checkSigner, SIGNER, type SignerOptions, signerOf } from "../signers/signer-of.ts";
import { checkOptions, checkText } from "./check-options.ts";
import { COMMON, type CommonOptions, connect } from "./common.ts";
import { type Opening, openCacheTarget, openingOf, SPACK, type SpackOptions, trustUse } from "./open-cache.ts";

/** How to sign: with a key, or as the identity of this job. */
export interface SignOptions extends CommonOptions, SpackOptions, SignerOptions {
  /** Of a cache, also sign every other tag. */
  readonly all?: boolean | undefined;
  /** Report what would be signed, and write nothing. */
  readonly dryRun?: boolean | undefined;
}

/** How to verify: whose signatures count. Default: those that the trust policy names. */
export interface VerifyOptions extends CommonOptions, SpackOptions, NamedSigners {
  /** Of a cache, also check every other tag. */
  readonly all?: boolean | undefined;
  /** Use trusted roots from files, and what is kept of published ones, without any request for them. */
  readonly offline?: boolean | undefined;
}

/**
 * Signs an image, or the specs and the index of a cache, as `stave sign` does. Throws USAGE, CREDENTIALS_MISSING
 * without a token or a password, and what the registry throws.
 */
export async function sign(place: string, options: SignOptions): Promise<SignReport> {
  checkText("sign: the place", place);
  checkOptions("sign", options, {
    ...{ ...COMMON, ...SPACK },
    ...SIGNER,
    ...{ all: "boolean", dryRun: "boolean" },
  });
  const { all, dryRun, signal } = options;
  signal?.throwIfAborted();
  checkSigner("sign", options);
  const opening = openingOf(options);
  const { around } = opening;
  await using opened = await openPlace(place, "push", opening);
  const { target, reference, cache, memory } = opened;
  const signer = await signerOf(options, around, opened.transport);
  const images = (await chosenImages(target, { reference, all }, { signal })).map((each) => ({ reference: each }));
  return await signImages({ target, images, signer, cache, dryRun, memory, clock: around.clock, signal });
}

/**
 * Checks the signatures of images and caches, as `stave verify` does; missing and bad ones are in the report. Throws
 * USAGE if neither the options nor the trust policy name a signer, and what the registry throws.
 */
export async function verify(
  places: string | readonly string[],
  options: VerifyOptions = {},
): Promise<SignatureReport> {
  for (const place of [places].flat()) checkText("verify: the place", place);
  checkOptions("verify", options, {
    ...{ ...COMMON, ...SPACK },
    ...{ key: "strings", certificateIdentity: "strings", certificateOidcIssuer: "string", trustedRoot: "string" },
    ...{ all: "boolean", offline: "boolean" },
  });
  const { all, offline, signal } = options;
  signal?.throwIfAborted();
  const opening = openingOf(options);
  const named = namesSigners(options) ? options : undefined;
  const reports = [];
  for (const place of [places].flat()) {
    await using opened = await openPlace(place, "fetch", opening);
    const use = trustUse(opening, opened);
    reports.push(await checkPlace(opened, { named, all }, offline ? { ...use, transport: undefined } : use));
  }
  return signatureReport(reports);
}

async function openPlace(
  text: string,
  direction: "fetch" | "push",
  opening: Opening,
): Promise<SignedPlace<Target> & AsyncDisposable> {
  const { around, options } = opening;
  const image = imageNamed(text, around.cwd);
  const opened =
    image === undefined
      ? await openCacheTarget(text, direction, opening)
      : { location: image.location, connection: await connect(options, { around, places: [image.location] }) };
  const { connection, location } = opened;
  const close = (): Promise<void> => connection.close();
  try {
    const target = "target" in opened ? opened.target : await connection.change(opened.location);
    const { transport } = connection;
    const place = placeOf({ target, location, reference: image?.reference, transport }, around);
    return { ...place, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeAfterError(close);
    throw error;
  }
}
