// Writes signatures to a transparency log of version 2. The library's own witness sends an entry of a kind that the
// current server refuses.
import { createHash } from "node:crypto";
import { TransparencyLogEntry } from "@sigstore/protobuf-specs";
import type { VerificationMaterial, Witness } from "@sigstore/sign";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";
import { signedBytes } from "../statement/bundle.ts";

/** Maximum number of bytes of an entry. */
const ENTRY_LIMIT = 1024 * 1024;

/** What a log needs. */
export interface LogWitnessOptions {
  readonly url: string;
  readonly transport: Transport;
  readonly signal?: AbortSignal | undefined;
}

type Content = Parameters<Witness["testify"]>[0];

/** A log of version 2, behind the library's interface. */
export class LogWitness implements Witness {
  readonly #options: LogWitnessOptions;

  constructor(options: LogWitnessOptions) {
    this.#options = options;
  }

  /** Writes an entry for a signature by a certificate. Throws what the request throws. */
  async testify(content: Content, certificate: string): Promise<VerificationMaterial> {
    const { url, transport, signal } = this.#options;
    const [signature] = content.$case === "dsseEnvelope" ? content.dsseEnvelope.signatures : [];
    if (content.$case !== "dsseEnvelope" || signature === undefined)
      throw new StaveError("INTERNAL", "only signed statements are logged");
    const digest = createHash("sha256").update(signedBytes(content.dsseEnvelope.payload)).digest("base64");
    const rawBytes = certificate.replaceAll(/-----[A-Z ]+-----|\s/g, "");
    const verifier = { x509Certificate: { rawBytes }, keyDetails: "PKIX_ECDSA_P256_SHA_256" };
    const { bytes } = await transport.requestBytes(
      {
        ...{ method: "POST", url: new URL(`${url}/api/v2/log/entries`), accept: [200, 201], signal },
        headers: { "content-type": "application/json", accept: "application/json" },
        body: Buffer.from(
          JSON.stringify({
            hashedRekordRequestV002: {
              ...{ digest, signature: { content: signature.sig.toString("base64"), verifier } },
            },
          }),
        ),
        ...{ op: "write to the log", subject: url },
      },
      ENTRY_LIMIT,
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
