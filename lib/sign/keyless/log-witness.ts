// Writes signatures to a transparency log of version 2, behind the library's interface. The library's own witness sends
// an entry of a kind that the current server refuses.
import { createHash } from "node:crypto";
import { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { VerificationMaterial, Witness } from "@sigstore/sign";
import { StaveError } from "../../errors.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";
import { signedBytes } from "../statement/bundle.ts";
import { askService, type ServiceOptions } from "./service-request.ts";

/** Maximum number of bytes of an entry. */
export const ENTRY_LIMIT: number = 1024 * 1024;

type Content = Parameters<Witness["testify"]>[0];

/** A log of version 2. */
export class LogWitness implements Witness {
  readonly #url: string;
  readonly #options: ServiceOptions;

  constructor(url: string, options: ServiceOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** Writes an entry for a signature by a certificate. Throws what `askService` throws. */
  async testify(content: Content, certificate: string): Promise<VerificationMaterial> {
    const url = this.#url;
    const [signature] = content.$case === "dsseEnvelope" ? content.dsseEnvelope.signatures : [];
    if (content.$case !== "dsseEnvelope" || signature === undefined)
      throw new StaveError("INTERNAL", "only signed statements are logged");
    const digest = createHash("sha256").update(signedBytes(content.dsseEnvelope.payload)).digest("base64");
    const rawBytes = certificate.replaceAll(/-----[A-Z ]+-----|\s/g, "");
    const verifier = { x509Certificate: { rawBytes }, keyDetails: "PKIX_ECDSA_P256_SHA_256" };
    const signed = { content: signature.sig.toString("base64"), verifier };
    const { bytes } = await askService(
      {
        ...{ url: `${url}/api/v2/log/entries`, op: "write to the log", limit: ENTRY_LIMIT },
        body: { hashedRekordRequestV002: { digest, signature: signed } },
      },
      this.#options,
    );
    const entry = TransparencyLogEntry.fromJSON(
      parseJsonBytes(bytes, { name: `the answer of ${url}`, code: "CONTENT_INVALID" }),
    );
    const { logId, kindVersion } = entry;
    if (logId === undefined || kindVersion === undefined)
      throw new StaveError("CONTENT_INVALID", `the answer of ${url} is no log entry`, { subject: url });
    return { tlogEntries: [{ ...entry, logId, kindVersion }] };
  }
}
