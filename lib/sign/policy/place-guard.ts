// Enforces the rule of one place: images and indexes are judged by their digests before anything in them is read.
import { messageOf, StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { OperationOptions } from "../../target/target.ts";
import type { Clock } from "../../util/time.ts";
import type { SignatureFinder } from "../signature/find.ts";
import { type AcceptedSignature, type ImageToJudge, Judge, type JudgeOptions } from "../signature/judge.ts";
import type { Generations } from "./generations.ts";
import type { PlaceRule } from "./trust-policy.ts";

/** What a guard needs. */
export interface GuardOptions extends JudgeOptions {
  /** The place in the form of the policy. */
  readonly place: string;
  /** The cache as statements name it; undefined for a directory. */
  readonly cache: string | undefined;
  readonly rule: PlaceRule;
  /** The policy's file, for messages. */
  readonly policy: string;
  readonly finder: SignatureFinder;
  readonly generations: Generations;
  readonly clock: Clock;
  readonly onWarning: (text: string) => void;
}

/** Lets pass what the rule of a place permits. */
export class PlaceGuard {
  readonly #options: GuardOptions;
  readonly #judge: Judge;

  constructor(options: GuardOptions) {
    const { rule, cache, clock, place, reusesBundles } = options;
    this.#options = options;
    const requirement = {
      signers: rule.signers,
      revoked: rule.revoked,
      cache: rule.bound ? (cache ?? place) : undefined,
    };
    this.#judge = new Judge(requirement, () => clock.now(), { reusesBundles });
  }

  /**
   * Judges an image; returns the signature that made it acceptable, undefined if none is required. Throws
   * SIGNATURE_MISSING, SIGNATURE_INVALID, IDENTITY_MISMATCH, REVOKED, and what the target throws.
   */
  async image(image: ImageToJudge, options: OperationOptions = {}): Promise<AcceptedSignature | undefined> {
    const { rule, finder, policy } = this.#options;
    this.refuseRejected(image.name);
    if (rule.require === "none") {
      this.#judge.refuseRevoked(image);
      return undefined;
    }
    try {
      return await this.#judge.check(finder, image, options);
    } catch (error) {
      if (!(error instanceof StaveError) || error.exitCode !== 8) throw error;
      throw error.with({ message: `${error.message} (required by ${policy})` });
    }
  }

  /** What the place needs. */
  get rule(): PlaceRule {
    return this.#options.rule;
  }

  /** Throws SIGNATURE_MISSING if nothing of this place may be used. */
  refuseRejected(what: string): void {
    const { rule, policy, place } = this.#options;
    if (rule.require !== "reject" && rule.require !== "gpg") return;
    const why = rule.require === "reject" ? "rejects" : "requires gpg signatures, which images cannot have, for";
    throw new StaveError("SIGNATURE_MISSING", `${what} may not be used: ${policy} ${why} ${rule.scope ?? place}`, {
      subject: what,
      hint: "`stave trust show` lists the rules",
    });
  }

  /**
   * Judges the index of a cache, or its absence; returns its signature, if one is required and it is there. Throws as
   * `image`, and INDEX_OUTDATED for an index that is older than one seen before, older than the rule permits, or gone.
   */
  async index(
    name: string,
    manifest: Pick<Descriptor, "digest"> | undefined,
    options: OperationOptions = {},
  ): Promise<AcceptedSignature | undefined> {
    const { rule, generations, place, clock, onWarning } = this.#options;
    this.refuseRejected(name);
    if (rule.index !== "signed") return undefined;
    const highest = await generations.highest(place);
    const shown = `the index of ${name}`;
    if (manifest === undefined) {
      if (highest === undefined) return undefined;
      throw outdated(name, `${shown} is gone, but there was one`);
    }
    const image = { name: `${name}:index.spack`, digest: manifest.digest, tag: "index.spack" };
    const accepted = await this.image(image, options);
    const { isNamed, generation, time } = accepted ?? { isNamed: false };
    if (!isNamed || generation === undefined || time === undefined)
      throw new StaveError("SIGNATURE_INVALID", `${shown} is signed, but without its name, a generation and a time`, {
        subject: name,
        hint: "sign the cache with `stave sign`",
      });
    if (highest !== undefined && generation < highest)
      throw outdated(name, `${shown} has generation ${generation}, but ${highest} was seen before`);
    const age = clock.now() - time;
    if (rule.indexMaxAge !== undefined && age > rule.indexMaxAge) {
      const signed = new Date(time).toISOString();
      throw outdated(name, `${shown} was signed on ${signed}, which is longer ago than the policy permits`);
    }
    try {
      await generations.remember(place, generation);
    } catch (error) {
      onWarning(`the generation of ${shown} cannot be remembered, so older ones are not noticed: ${messageOf(error)}`);
    }
    return accepted;
  }
}

function outdated(subject: string, message: string): StaveError {
  return new StaveError("INDEX_OUTDATED", message, {
    subject,
    hint: "ask who keeps the cache; `stave index` and `stave sign` make a new index and sign it",
  });
}
