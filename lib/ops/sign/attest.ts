// Attaches signed attestations to images: statements with a predicate other than a signature's.
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { SbomFormat } from "../../sbom/bill.ts";
import { Attacher } from "../../sign/signature/attach.ts";
import { SignatureFinder } from "../../sign/signature/find.ts";
import { Judge, NO_REVOCATIONS } from "../../sign/signature/judge.ts";
import type { StatementSigner } from "../../sign/signature/statement-signer.ts";
import { BUNDLE_LIMIT } from "../../sign/statement/bundle.ts";
import { attestationBytes, BATCH_SIZE, type Subject } from "../../sign/statement/statement.ts";
import type { JsonObject } from "../../spack/text/json-value.ts";
import type { Target } from "../../target/target.ts";
import type { Clock } from "../../util/time.ts";

/** The predicate types of attestations, as other tools know them. */
export const PREDICATES: Readonly<Record<SbomFormat | "provenance", string>> = {
  spdx: "https://spdx.dev/Document",
  cyclonedx: "https://cyclonedx.org/bom",
  provenance: "https://slsa.dev/provenance/v1",
};

/** How to attest. */
export interface AttesterOptions {
  readonly target: Target;
  readonly signer: StatementSigner;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** An image to attest. */
export interface ImageToAttest {
  readonly manifest: Descriptor;
  /** Nothing can be attached to it yet. */
  readonly isNew: boolean;
}

/** What to attest about images. */
export interface Attestation {
  readonly predicateType: string;
  readonly predicate: JsonObject;
  /** The images by their names. */
  readonly subjects: readonly Subject[];
}

/** Signs statements about images and attaches them, all at once at the end. */
export class Attester {
  readonly #options: AttesterOptions;
  readonly #finder: SignatureFinder;
  readonly #attacher: Attacher;
  #judge: Promise<Judge> | undefined;

  constructor(options: AttesterOptions) {
    this.#options = options;
    this.#finder = new SignatureFinder(options.target);
    this.#attacher = new Attacher(options.target, { signal: options.signal });
  }

  /**
   * Signs what is said about images, with one signature per thousand subjects. Images that have the very same statement
   * by this signer are left alone. Returns how many will be attested. Throws TOO_LARGE for a statement that nothing
   * would read.
   */
  async attest(images: readonly ImageToAttest[], { predicateType, predicate, subjects }: Attestation): Promise<number> {
    const { signer } = this.#options;
    let made = 0;
    for (let at = 0; at < subjects.length; at += BATCH_SIZE) {
      const batch = subjects.slice(at, at + BATCH_SIZE);
      const digests = new Set<string>(batch.map(({ digest }) => digest));
      const payload = attestationBytes(batch, predicateType, predicate);
      const lacking: Descriptor[] = [];
      for (const { manifest, isNew } of images.filter((image) => digests.has(image.manifest.digest)))
        if (isNew || !(await this.#isThere(manifest, predicateType, payload))) lacking.push(manifest);
      if (lacking.length === 0) continue;
      const bundle = await signer.sign(payload);
      if (bundle.byteLength > BUNDLE_LIMIT)
        throw new StaveError(
          "TOO_LARGE",
          `the attestation of ${batch[0]?.name ?? "an image"} has ${bundle.byteLength} bytes, expected at most ${BUNDLE_LIMIT}`,
        );
      await this.#attacher.add({ bundle, predicateType, images: lacking });
      made += lacking.length;
    }
    return made;
  }

  /** Attaches what was signed. */
  async finish(): Promise<void> {
    await this.#attacher.finish();
  }

  async #isThere({ digest }: Descriptor, predicateType: string, payload: Uint8Array): Promise<boolean> {
    const { signer, clock, signal } = this.#options;
    let isThere = false;
    await this.#finder.find(digest, { signal }, async (found) => {
      const { bundle, statement } = found;
      if (statement.predicateType !== predicateType || !signer.mayHaveMade(bundle)) return false;
      if (!bundle.payload.equals(payload)) return false;
      this.#judge ??= signer
        .self()
        .then((self) => new Judge({ signers: [self], revoked: NO_REVOCATIONS }, () => clock.now()));
      isThere = await (await this.#judge).isByAny(found);
      return isThere;
    });
    return isThere;
  }
}
