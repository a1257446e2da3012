// Sigstore bundles v0.3 around DSSE envelopes: a statement, its signature and what is needed to verify it. Signing and
// parsing only; whether a signer is trusted is decided elsewhere.
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { canonicalBytes } from "../../oci/manifest.ts";
import type { PrivateKey } from "../key/private-key.ts";
import type { PublicKey } from "../key/public-key.ts";
import { base64Schema, readDocument } from "./read-document.ts";

/** The media type of bundles, also of the layers and artifacts that hold them. */
export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** The first part of the media type of bundles of any version. */
export const BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle";
/** The media type of statements. */
export const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** Maximum number of bytes of a bundle; a batch of 1 000 images has about 400 kB. */
export const BUNDLE_LIMIT: number = 8 * 1024 * 1024;
/** Maximum number of bytes of a signature; one of RSA 8192 has 1 024. */
const SIGNATURE_LIMIT = 2048;
const CERTIFICATE_LIMIT = 64 * 1024;

/** A parsed bundle; none of its claims is verified. */
export interface Bundle {
  /** The statement, as it was signed. */
  readonly payload: Buffer;
  readonly signature: Buffer;
  /** The fingerprint of the key that the bundle claims to be signed with; undefined if it names none. */
  readonly keyHint: string | undefined;
  /** The certificate of the signer, if it was signed with one. */
  readonly certificate: Buffer | undefined;
  /** The whole bundle, for the check of its certificate; undefined without one. */
  readonly document: Buffer | undefined;
}

/** The bytes that a DSSE signature covers (DSSE v1.0.2, "PAE"). */
export function signedBytes(payload: Uint8Array): Buffer {
  const type = Buffer.byteLength(PAYLOAD_TYPE);
  return Buffer.concat([Buffer.from(`DSSEv1 ${type} ${PAYLOAD_TYPE} ${payload.byteLength} `), payload]);
}

/** Signs a statement by key; returns the bytes of the bundle. */
export function signStatement(payload: Uint8Array, key: PrivateKey): Uint8Array {
  const hint = Buffer.from(key.publicKey.fingerprint, "hex").toString("base64");
  const sig = key.sign(signedBytes(payload)).toString("base64");
  // An envelope with a `keyid` would be passed over by cosign.
  return canonicalBytes({
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint } },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig }],
    },
  });
}

const bundleSchema = z.strictObject({
  mediaType: z.literal(BUNDLE_TYPE),
  verificationMaterial: z.strictObject({
    publicKey: z.strictObject({ hint: base64Schema(32).optional() }).optional(),
    certificate: z.strictObject({ rawBytes: base64Schema(CERTIFICATE_LIMIT) }).optional(),
    // Read with the certificate; signatures by key do not need them.
    tlogEntries: z.array(z.unknown()).max(16).nullish(),
    timestampVerificationData: z.unknown().optional(),
  }),
  dsseEnvelope: z.strictObject({
    payload: base64Schema(BUNDLE_LIMIT),
    payloadType: z.literal(PAYLOAD_TYPE),
    signatures: z
      .array(z.strictObject({ sig: base64Schema(SIGNATURE_LIMIT), keyid: z.literal("").optional() }))
      .length(1),
  }),
});

/** Parses a bundle. Throws SIGNATURE_INVALID for anything but one signature over one statement. */
export function parseBundle(bytes: Uint8Array, name: string): Bundle {
  if (bytes.byteLength > BUNDLE_LIMIT)
    throw new StaveError(
      "SIGNATURE_INVALID",
      `${name} has ${bytes.byteLength} bytes, expected at most ${BUNDLE_LIMIT}`,
    );
  const { verificationMaterial: material, dsseEnvelope: envelope } = readDocument(bytes, bundleSchema, name);
  const { publicKey, certificate } = material;
  if ((publicKey === undefined) === (certificate === undefined))
    throw new StaveError("SIGNATURE_INVALID", `${name} must have either a key or a certificate`, { subject: name });
  const [signature] = envelope.signatures;
  if (signature === undefined) throw new StaveError("SIGNATURE_INVALID", `${name} has no signature`);
  return {
    payload: envelope.payload,
    signature: signature.sig,
    keyHint: publicKey?.hint?.toString("hex"),
    certificate: certificate?.rawBytes,
    document: certificate && Buffer.from(bytes),
  };
}

/** True if a key signed the statement of a bundle. A bundle with a certificate is never taken for one by key. */
export function isSignedBy(bundle: Bundle, key: PublicKey): boolean {
  if (bundle.certificate !== undefined) return false;
  if (bundle.keyHint !== undefined && bundle.keyHint !== key.fingerprint) return false;
  return key.verifies(signedBytes(bundle.payload), bundle.signature);
}
