// Decides whether the signatures of an image satisfy what is required: one good signature suffices, and bad ones
// beside it do no harm. If none is good, the error names what was looked for, what was found, and which one came
// nearest.
import { type ErrorCode, StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { printable } from "../../printable/printable.ts";
import type { OperationOptions } from "../../target/target.ts";
import type { PublicKey } from "../key/public-key.ts";
import { isSignedBy } from "../statement/bundle.ts";
import { SIGNATURE_PREDICATE, type Subject } from "../statement/statement.ts";
import type { FoundSignatures, ReadBundle, SignatureFinder } from "./find.ts";

/** Somebody whose signature counts. */
export interface Signer {
  /** Its name in the policy, or the file of its key. */
  readonly name: string;
  readonly key: PublicKey;
  /** Signatures by this key count until then, in milliseconds since the epoch. */
  readonly notAfter?: number | undefined;
}

/** What never counts, whoever signed it. */
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
  /** The fingerprint of its key. */
  readonly key: string;
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

/** Judges signatures against one requirement; verifies each bundle once, however many images share it. */
export class Judge {
  readonly #requirement: Requirement;
  readonly #now: () => number;
  readonly #signed = new WeakMap<ReadBundle, Signer | "nobody">();

  constructor(requirement: Requirement, now: () => number) {
    this.#requirement = requirement;
    this.#now = now;
  }

  /** Throws REVOKED for an image that may not be used, whoever signed it. */
  refuseRevoked({ name, digest }: ImageToJudge): void {
    if (!this.#requirement.revoked.digests.has(digest)) return;
    throw new StaveError("REVOKED", `${name} is revoked: the policy lists its digest ${digest}`, {
      subject: name,
      hint: "use another version, or remove its digest from what the policy revokes",
    });
  }

  /** The acceptance of one signature, or why it does not count. */
  accepts(found: ReadBundle, image: ImageToJudge): AcceptedSignature | Miss {
    const { bundle, statement, digest } = found;
    const { revoked, cache } = this.#requirement;
    const miss = (nearness: number, code: ErrorCode, text: string): Miss => ({ nearness, code, text });
    if (statement.predicateType !== SIGNATURE_PREDICATE)
      return miss(1, "SIGNATURE_MISSING", `${printable(statement.predicateType)} describes it without approving it`);
    const subjects = statement.subjects.get(image.digest);
    if (subjects === undefined) return miss(2, "SIGNATURE_INVALID", "the nearest is for other images");
    const signer = this.#signerOf(found);
    if (signer === undefined) {
      if (bundle.certificate !== undefined)
        return miss(3, "IDENTITY_MISMATCH", "the nearest is by a certificate, where keys are trusted");
      const { keyHint } = bundle;
      if (keyHint !== undefined && this.#requirement.signers.some(({ key }) => key.fingerprint === keyHint))
        return miss(4, "SIGNATURE_INVALID", `the nearest claims key ${short(keyHint)}, but that key did not make it`);
      const by = keyHint === undefined ? "another key" : `key ${short(keyHint)}`;
      return miss(3, "IDENTITY_MISMATCH", `the nearest is by ${by}`);
    }
    if (revoked.statements.has(digest)) return miss(5, "REVOKED", `the policy revokes the signature ${digest}`);
    const { key, notAfter } = signer;
    if (revoked.keys.has(key.fingerprint))
      return miss(5, "REVOKED", `the policy revokes key ${short(key.fingerprint)} of ${signer.name}`);
    if (notAfter !== undefined && this.#now() > notAfter)
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
      ...{ signer: signer.name, key: key.fingerprint, bundle: digest },
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
    const found = await finder.find(image.digest, options, (bundle) => "bundle" in this.accepts(bundle, image));
    return this.judge(found, image);
  }

  /** The signature that makes an image acceptable. Throws the error of the nearest miss if there is none. */
  judge(found: FoundSignatures, image: ImageToJudge): AcceptedSignature {
    this.refuseRevoked(image);
    const misses: Miss[] = found.broken.map(({ message }) => ({
      nearness: 0,
      code: "SIGNATURE_INVALID",
      text: message,
    }));
    for (const bundle of found.bundles) {
      const outcome = this.accepts(bundle, image);
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
    const wanted = this.#requirement.signers.map((signer) => `${signer.name} (key ${short(signer.key.fingerprint)})`);
    const by = wanted.length === 0 ? "anyone: no signer is trusted" : wanted.join(" or ");
    const [nearest] = misses.toSorted((a, b) => b.nearness - a.nearness);
    if (nearest === undefined)
      return new StaveError("SIGNATURE_MISSING", `${name} has no signature, expected one by ${by}`, {
        subject: name,
        hint: "sign it with `stave sign`, or name another key",
      });
    const all = count === 1 ? "1 signature was found" : `${count} signatures were found`;
    const hint: Partial<Record<ErrorCode, string>> = {
      IDENTITY_MISMATCH: "trust that signer, or sign the image with a key that is trusted",
      SIGNATURE_INVALID: "do not use the image; ask who signed it, and sign it again if it is as intended",
      REVOKED: "sign it again with a key that is trusted",
      SIGNATURE_MISSING: "sign it with `stave sign`",
    };
    return new StaveError(nearest.code, `${name} has no valid signature by ${by}: ${all}, ${nearest.text}`, {
      subject: name,
      hint: hint[nearest.code] ?? "sign it again",
    });
  }

  #signerOf(found: ReadBundle): Signer | undefined {
    const known = this.#signed.get(found);
    if (known !== undefined) return known === "nobody" ? undefined : known;
    const signer = this.#requirement.signers.find(({ key }) => isSignedBy(found.bundle, key));
    this.#signed.set(found, signer ?? "nobody");
    return signer;
  }
}

/** How a signed subject contradicts the image; undefined if it does not. cosign signs neither names nor DAG hashes. */
function contradiction(subject: Subject, { tag, dagHash }: ImageToJudge): string | undefined {
  if (tag !== undefined && subject.name !== undefined && subject.name !== tag)
    return `it was signed as ${printable(subject.name)}, not as ${tag}`;
  if (dagHash !== undefined && subject.dagHash !== undefined && subject.dagHash !== dagHash)
    return `it was signed with the DAG hash ${printable(subject.dagHash)}, not ${dagHash}`;
  return undefined;
}

const short = (fingerprint: string): string => fingerprint.slice(0, 12);
