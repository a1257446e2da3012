// Decides whether the signatures of an image satisfy what is required: one good signature suffices, and bad ones
// beside it do no harm. If none is good, the error names what was looked for, what was found, and which one came
// nearest.
import { type ErrorCode, isStaveError, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../../target/target.ts";
import { unlessAborted } from "../../util/limit.ts";
import type { CertificateIdentity, IdentityPattern } from "../identity/identity-pattern.ts";
import type { CheckedCertificate, TrustedRoot } from "../identity/trusted-root.ts";
import type { PublicKey } from "../key/public-key.ts";
import { isSignedBy } from "../statement/bundle.ts";
import { SIGNATURE_PREDICATE, type Subject } from "../statement/statement.ts";
import type { FoundSignatures, ReadBundle, SignatureFinder } from "./find.ts";

/** A key whose signatures count. */
export interface KeySigner {
  /** Its name in the policy, or the file of its key. */
  readonly name: string;
  readonly key: PublicKey;
  /** Signatures by this key count until then, in milliseconds since the epoch. */
  readonly notAfter?: number | undefined;
}

/** An identity whose signatures count: short-lived certificates say who used their keys. */
export interface IdentitySigner {
  /** Its name in the policy, or the identity itself. */
  readonly name: string;
  readonly identity: IdentityPattern;
  /** Reads the root that its certificates come from; called only for a signature with a certificate. */
  readonly root: () => Promise<TrustedRoot>;
  /** Signatures made until then count, by the time of the log or the stamp. */
  readonly notAfter?: number | undefined;
}

/** Somebody whose signature counts. */
export type Signer = KeySigner | IdentitySigner;

/** A signer for messages: its name, and what identifies it. */
export function describeSigner(signer: Signer): string {
  if ("key" in signer) return `${signer.name} (key ${short(signer.key.fingerprint)})`;
  const { identity } = signer.identity.rule;
  return signer.name === identity ? identity : `${signer.name} (${identity})`;
}

/** What never counts, even with a good signature. */
export interface Revocations {
  /** Digests of images. */
  readonly digests: ReadonlySet<string>;
  /** Fingerprints of keys. */
  readonly keys: ReadonlySet<string>;
  /** Digests of bundles. */
  readonly statements: ReadonlySet<string>;
}

/** Nothing is revoked. */
export const NO_REVOCATIONS: Revocations = { digests: new Set(), keys: new Set(), statements: new Set() };

/** What a signature must say, and who may have made it. */
export interface Requirement {
  readonly signers: readonly Signer[];
  readonly revoked: Revocations;
  /** The cache that the statement must name, if it is bound to one. */
  readonly cache?: string | undefined;
}

/** The image that a signature must be about. */
export interface ImageToJudge {
  /** The image as a user would type it. */
  readonly name: string;
  readonly digest: Digest;
  /** The tag by which it was found; undefined if it was named by its digest. */
  readonly tag?: string | undefined;
  /** The DAG hash of its spec, if it is the image of one. */
  readonly dagHash?: string | undefined;
}

/** A signature that was accepted. */
export interface AcceptedSignature {
  readonly signer: string;
  /** The fingerprint of its key; with a certificate, of the key in it. */
  readonly key: string;
  /** Whom the certificate was issued to, if it was signed with one. */
  readonly identity: CertificateIdentity | undefined;
  /** The digest of the bundle. */
  readonly bundle: Digest;
  /** The signature covers the tag, too; those of cosign cover only the digest. */
  readonly isNamed: boolean;
  /**
   * What the signer claims: when, in milliseconds since the epoch, for which cache, and the generation of an index.
   */
  readonly time: number | undefined;
  readonly cache: string | undefined;
  readonly generation: number | undefined;
}

/** Why a signature does not count; the higher, the nearer it came. */
interface Miss {
  readonly nearness: number;
  readonly code: ErrorCode;
  readonly text: string;
}

/** Who made a signature, or why it is by none of the trusted signers. */
type Made =
  | { readonly signer: Signer; readonly key: string; readonly certificate: CheckedCertificate | undefined }
  | Miss;

/** How a judge works. */
export interface JudgeOptions {
  /**
   * Accept an image by a bundle that made another one acceptable, if its statement names both, without asking what is
   * attached to it.
   */
  readonly reusesBundles?: boolean | undefined;
}

/** Maximum number of bundles that are reused. */
const MOST_REUSED = 64;

/** Judges signatures against one requirement; verifies each bundle once, however many images share it. */
export class Judge {
  readonly #requirement: Requirement;
  readonly #now: () => number;
  readonly #reusesBundles: boolean;
  readonly #made = new WeakMap<ReadBundle, Promise<Made>>();
  /** Bundles about several images that made one of them acceptable. */
  readonly #reusable = new Set<ReadBundle>();
  /** The judgement of the first image, which the others wait for. */
  #first: Promise<AcceptedSignature> | undefined;

  constructor(requirement: Requirement, now: () => number, { reusesBundles = false }: JudgeOptions = {}) {
    this.#requirement = requirement;
    this.#now = now;
    this.#reusesBundles = reusesBundles;
  }

  /** True if one of the signers made a bundle, whatever its statement is about. */
  async isByAny(found: ReadBundle): Promise<boolean> {
    return !("nearness" in (await this.#madeBy(found)));
  }

  /** Throws REVOKED for an image that may not be used, even with a good signature. */
  refuseRevoked({ name, digest }: ImageToJudge): void {
    if (!this.#requirement.revoked.digests.has(digest)) return;
    throw new StaveError("REVOKED", `${name} is revoked: the policy lists its digest ${digest}`, {
      subject: name,
      hint: "use another version, or remove its digest from what the policy revokes",
    });
  }

  /**
   * The acceptance of one signature, or why it does not count. Throws what reading the root of an identity throws.
   */
  async accepts(found: ReadBundle, image: ImageToJudge): Promise<AcceptedSignature | Miss> {
    const { statement, digest } = found;
    const { revoked, cache } = this.#requirement;
    if (statement.predicateType !== SIGNATURE_PREDICATE)
      return miss(1, "SIGNATURE_MISSING", `${printable(statement.predicateType)} describes it without approving it`);
    const subjects = statement.subjects.get(image.digest);
    if (subjects === undefined) return miss(2, "SIGNATURE_INVALID", "the nearest is for other images");
    const made = await this.#madeBy(found);
    if ("nearness" in made) return made;
    const { signer, key, certificate } = made;
    if (revoked.statements.has(digest)) return miss(5, "REVOKED", `the policy revokes the signature ${digest}`);
    if (revoked.keys.has(key)) return miss(5, "REVOKED", `the policy revokes key ${short(key)} of ${signer.name}`);
    const { notAfter } = signer;
    if (notAfter !== undefined && (certificate?.time ?? this.#now()) > notAfter)
      return miss(5, "REVOKED", `${signer.name} was trusted until ${new Date(notAfter).toISOString()}`);
    const wrong = subjects.map((subject) => contradiction(subject, image));
    if (!wrong.includes(undefined)) return miss(6, "SIGNATURE_INVALID", wrong[0] ?? "it is for another image");
    if (cache !== undefined && statement.cache !== cache)
      return miss(
        6,
        "SIGNATURE_INVALID",
        `it was signed for ${printable(statement.cache ?? "no cache")}, not ${cache}`,
      );
    const { time, generation } = statement;
    return {
      ...{ signer: signer.name, key, identity: certificate && identityOf(certificate), bundle: digest },
      ...{ time, cache: statement.cache, generation },
      isNamed: subjects.some((subject) => subject.name !== undefined && subject.name === image.tag),
    };
  }

  /**
   * Reads and judges the signatures of an image. Throws as `judge`, and what the target throws: a question that failed
   * is never a missing signature.
   */
  async check(
    finder: SignatureFinder,
    image: ImageToJudge,
    options: OperationOptions = {},
  ): Promise<AcceptedSignature> {
    this.refuseRevoked(image);
    if (!this.#reusesBundles) return await this.#look(finder, image, options);
    // One push signs all of its images together, so the signature of the first usually covers the others.
    if (this.#first === undefined) {
      this.#first = this.#look(finder, image, options);
      return await this.#first;
    }
    await unlessAborted(
      this.#first.catch(() => {}),
      options.signal,
    );
    for (const known of this.#reusable) {
      const outcome = await this.accepts(known, image);
      if ("bundle" in outcome) return outcome;
    }
    return await this.#look(finder, image, options);
  }

  async #look(finder: SignatureFinder, image: ImageToJudge, options: OperationOptions): Promise<AcceptedSignature> {
    const found = await finder.find(image.digest, options, async (bundle) => {
      const isGood = "bundle" in (await this.accepts(bundle, image));
      if (isGood) this.#mayReuse(bundle);
      return isGood;
    });
    return await this.judge(found, image);
  }

  #mayReuse(bundle: ReadBundle): void {
    if (!this.#reusesBundles || bundle.statement.subjects.size < 2 || this.#reusable.size >= MOST_REUSED) return;
    this.#reusable.add(bundle);
  }

  /** The signature that makes an image acceptable. Throws the error of the nearest miss if there is none. */
  async judge(found: FoundSignatures, image: ImageToJudge): Promise<AcceptedSignature> {
    this.refuseRevoked(image);
    const misses: Miss[] = found.broken.map(({ message }) => ({
      nearness: 0,
      code: "SIGNATURE_INVALID",
      text: message,
    }));
    for (const bundle of found.bundles) {
      const outcome = await this.accepts(bundle, image);
      if ("bundle" in outcome) return outcome;
      misses.push(outcome);
    }
    if (found.unread > 0)
      misses.push({
        nearness: 2.5,
        code: "SIGNATURE_INVALID",
        text: `${found.unread} more were not read, because there are too many`,
      });
    throw this.#error(misses, found.bundles.length + found.broken.length, image);
  }

  #error(misses: readonly Miss[], count: number, { name }: ImageToJudge): StaveError {
    const wanted = this.#requirement.signers.map(describeSigner);
    const by = wanted.length === 0 ? "anyone: no signer is trusted" : wanted.join(" or ");
    const [nearest] = misses.toSorted((a, b) => b.nearness - a.nearness);
    if (nearest === undefined)
      return new StaveError("SIGNATURE_MISSING", `${name} has no signature, expected one by ${by}`, {
        subject: name,
        hint: "ask its publisher to sign it, or name another key",
      });
    const all = count === 1 ? "1 signature was found" : `${count} signatures were found`;
    const hint: Partial<Record<ErrorCode, string>> = {
      IDENTITY_MISMATCH: "trust that signer, or sign the image with a key that is trusted",
      SIGNATURE_INVALID: "do not use the image; ask the signer, and sign it again if it is as intended",
      REVOKED: "sign it again with a key that is trusted",
      SIGNATURE_MISSING: "ask its publisher to sign it",
    };
    return new StaveError(nearest.code, `${name} has no valid signature by ${by}: ${all}, ${nearest.text}`, {
      subject: name,
      hint: hint[nearest.code] ?? "sign it again",
    });
  }

  #madeBy(found: ReadBundle): Promise<Made> {
    const known = this.#made.get(found);
    if (known !== undefined) return known;
    const made = found.bundle.certificate === undefined ? Promise.resolve(this.#byKey(found)) : this.#byIdentity(found);
    this.#made.set(found, made);
    // A root that could not be read is read again for the next image.
    made.catch(() => this.#made.delete(found));
    return made;
  }

  #byKey({ bundle }: ReadBundle): Made {
    const keys = this.#requirement.signers.filter((signer) => "key" in signer);
    const signer = keys.find(({ key }) => isSignedBy(bundle, key));
    if (signer !== undefined) return { signer, key: signer.key.fingerprint, certificate: undefined };
    const { keyHint } = bundle;
    if (keyHint !== undefined && keys.some(({ key }) => key.fingerprint === keyHint))
      return miss(4, "SIGNATURE_INVALID", `the nearest claims key ${short(keyHint)}, but that key did not make it`);
    const by = keyHint === undefined ? "another key" : `key ${short(keyHint)}`;
    return miss(3, "IDENTITY_MISMATCH", `the nearest is by ${by}`);
  }

  async #byIdentity({ bundle, digest }: ReadBundle): Promise<Made> {
    const misses: Miss[] = [];
    for (const signer of this.#requirement.signers) {
      if ("key" in signer) continue;
      const root = await signer.root();
      try {
        const certificate = root.check(bundle, `signature ${digest}`);
        const difference = signer.identity.difference(certificate);
        if (difference === undefined) return { signer, key: certificate.key, certificate };
        const by = `${printable(certificate.name)} of ${printable(certificate.issuer)}`;
        misses.push(miss(4, "IDENTITY_MISMATCH", `the nearest is by ${by}: ${difference}`));
      } catch (error) {
        if (!isStaveError(error, "SIGNATURE_INVALID")) throw error;
        misses.push(miss(3.5, "SIGNATURE_INVALID", `${error.message}, by the root ${root.name}`));
      }
    }
    const [nearest] = misses.toSorted((a, b) => b.nearness - a.nearness);
    return nearest ?? miss(3, "IDENTITY_MISMATCH", "the nearest is by a certificate, where keys are trusted");
  }
}

const miss = (nearness: number, code: ErrorCode, text: string): Miss => ({ nearness, code, text });

const identityOf = ({ issuer, name, repositoryId, ownerId }: CheckedCertificate): CertificateIdentity => ({
  ...{ issuer, name, repositoryId, ownerId },
});

/** How a signed subject contradicts the image; undefined if it does not. cosign signs neither names nor DAG hashes. */
function contradiction(subject: Subject, { tag, dagHash }: ImageToJudge): string | undefined {
  if (tag !== undefined && subject.name !== undefined && subject.name !== tag)
    return `it is for the tag ${printable(subject.name)}, not for ${tag}`;
  if (dagHash !== undefined && subject.dagHash !== undefined && subject.dagHash !== dagHash)
    return `it is for the DAG hash ${printable(subject.dagHash)}, not ${dagHash}`;
  return undefined;
}

const short = (fingerprint: string): string => fingerprint.slice(0, 12);
