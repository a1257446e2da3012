// The authority for certificates (Fulcio): for a token and the proof that a key is held, it issues a certificate that
// says whose key it is.
import * as z from "zod";
import { parseBySchema } from "../../oci/manifest.ts";
import type { PrivateKey } from "../key/private-key.ts";
import type { IdentityToken } from "./identity-token.ts";
import { askService, type ServiceOptions } from "./service-request.ts";

/** Maximum number of bytes of a chain of certificates. */
const CHAIN_LIMIT = 64 * 1024;

const chain = z.looseObject({ chain: z.looseObject({ certificates: z.array(z.string()).min(1) }) });
const answerSchema = z.union([
  z.looseObject({ signedCertificateEmbeddedSct: chain }),
  z.looseObject({ signedCertificateDetachedSct: chain }),
]);

/** Gets a certificate in PEM for a key. Throws CONTENT_INVALID, and what `askService` throws. */
export async function requestCertificate(
  authority: string,
  { token, claimed }: IdentityToken,
  key: PrivateKey,
  options: ServiceOptions,
): Promise<string> {
  const { bytes } = await askService(
    {
      ...{ url: `${authority}/api/v2/signingCert`, op: "get a certificate", limit: CHAIN_LIMIT },
      body: {
        credentials: { oidcIdentityToken: token.reveal() },
        publicKeyRequest: {
          publicKey: { algorithm: "ECDSA", content: key.publicKey.pem },
          proofOfPossession: key.sign(Buffer.from(claimed)).toString("base64"),
        },
      },
    },
    options,
  );
  const answer = parseBySchema(bytes, answerSchema, `the answer of ${authority}`);
  const issued =
    "signedCertificateEmbeddedSct" in answer
      ? answer.signedCertificateEmbeddedSct
      : answer.signedCertificateDetachedSct;
  return (issued as z.infer<typeof chain>).chain.certificates[0] ?? "";
}
