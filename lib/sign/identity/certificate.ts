// Whom a certificate was issued to (the extensions of Fulcio, 1.3.6.1.4.1.57264.1). Only a certificate that was checked
// against a root says anything.
import { X509Certificate } from "node:crypto";
import { X509Certificate as ParsedCertificate } from "@sigstore/core";
import { digestOf, hexOf } from "../../oci/digest.ts";
import type { CertificateIdentity } from "./identity-pattern.ts";

const EXTENSIONS = "1.3.6.1.4.1.57264.1";
const UTF8_STRING = 0x0c;
/** The first byte of a length that needs more bytes (X.690, 8.1.3.5). */
const LONG_LENGTH = 0x80;

/** A certificate's identity and key. */
export interface NamedCertificate extends CertificateIdentity {
  /** The fingerprint of its key. */
  readonly key: string;
}

/** Reads the identity in a certificate. Throws an error of some kind if it has none, or more than one. */
export function readCertificate(der: Buffer): NamedCertificate {
  const parsed = ParsedCertificate.parse(Buffer.from(der));
  const certificate = new X509Certificate(der);
  const value = (id: number): Buffer | undefined => parsed.extension(`${EXTENSIONS}.${id}`)?.value;
  // The first form of the issuer is bare text.
  const issuer = textOf(value(8)) ?? value(1)?.toString("utf8");
  if (issuer === undefined) throw new Error("the certificate names no issuer");
  return {
    ...{ issuer, name: onlyName(certificate), repositoryId: textOf(value(15)), ownerId: textOf(value(17)) },
    key: hexOf(digestOf(certificate.publicKey.export({ type: "spki", format: "der" }))),
  };
}

function textOf(der: Buffer | undefined): string | undefined {
  if (der?.[0] !== UTF8_STRING) return undefined;
  const first = der[1] ?? 0;
  const more = first < LONG_LENGTH ? 0 : first - LONG_LENGTH;
  const length = more === 0 ? first : der.readUIntBE(2, more);
  const text = der.subarray(2 + more);
  return text.length === length ? text.toString("utf8") : undefined;
}

// @sigstore/core reads the first of several names, and folds letters beyond ASCII.
function onlyName({ subjectAltName = "" }: X509Certificate): string {
  const name = /^(?:URI|email):([\x21-\x7e]+)$/.exec(subjectAltName)?.[1];
  if (name === undefined || name.startsWith('"'))
    throw new Error("the certificate must have exactly one name, a URL or an e-mail address");
  return name;
}
