// An authority for time stamps (RFC 3161), behind the library's interface.
import { createHash } from "node:crypto";
import type { VerificationMaterial, Witness } from "@sigstore/sign";
import { askService, type ServiceOptions } from "./service-request.ts";

/** Maximum number of bytes of a stamp, with its certificates. */
const STAMP_LIMIT = 64 * 1024;
/** Where older configurations, which name only the host, mean. */
const PATH = "/api/v1/timestamp";

/** Gets stamps from one authority. */
export class StampWitness implements Witness {
  readonly #url: string;
  readonly #options: ServiceOptions;

  constructor(url: string, options: ServiceOptions) {
    this.#url = new URL(url).pathname === "/" ? `${url}${PATH}` : url;
    this.#options = options;
  }

  /** Gets a stamp for a signature. Throws what `askService` throws. */
  async testify(content: Parameters<Witness["testify"]>[0]): Promise<VerificationMaterial> {
    const signature =
      content.$case === "dsseEnvelope"
        ? (content.dsseEnvelope.signatures[0]?.sig ?? Buffer.alloc(0))
        : content.messageSignature.signature;
    const artifactHash = createHash("sha256").update(signature).digest("base64");
    const body = { artifactHash, hashAlgorithm: "sha256" };
    const { bytes } = await askService(
      { url: this.#url, body, op: "get a time stamp", limit: STAMP_LIMIT },
      this.#options,
    );
    return { rfc3161Timestamps: [{ signedTimestamp: bytes }] };
  }
}
