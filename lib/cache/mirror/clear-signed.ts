// Clear-signed texts (RFC 9580, "Cleartext Signature Framework"): which text is signed. Verifying is gpg's work.
import { invalid, type JsonSource } from "../../spack/text/json.ts";

const BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE = "-----BEGIN PGP SIGNATURE-----";
const END = "-----END PGP SIGNATURE-----";

/** True if a text claims to be clear-signed. */
export function isClearSigned(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, BEGIN.length)).equals(
    Buffer.from(BEGIN),
  );
}

/**
 * The signed text of a document that consists of one clear-signed message; nothing is verified. Readers differ about
 * what is signed if there is anything else, so that is refused. Throws CONTENT_INVALID.
 */
export function signedText(bytes: Uint8Array, source: JsonSource): string {
  const lines = Buffer.from(bytes).toString("utf8").replaceAll("\r\n", "\n").trimEnd().split("\n");
  const head = lines.indexOf("");
  const from = lines.indexOf(SIGNATURE);
  const isOne = lines[0] === BEGIN && lines.lastIndexOf(BEGIN) === 0 && lines.lastIndexOf(SIGNATURE) === from;
  const isEnded = lines.indexOf(END) === lines.length - 1;
  if (!isOne || !isEnded || head < 1 || head >= from) throw invalid(source, "is not one clear-signed message");
  if (!lines.slice(1, head).every((line) => /^[A-Za-z]+: /.test(line)))
    throw invalid(source, "has a malformed header in its clear-signed message");
  return lines
    .slice(head + 1, from)
    .map((line) => line.replace(/^- /, ""))
    .join("\n");
}

/** The text of a document, signed or not; a signature is not checked. Throws CONTENT_INVALID. */
export function textOf(bytes: Buffer, subject: string): string {
  return isClearSigned(bytes) ? signedText(bytes, { name: subject }) : bytes.toString("utf8");
}
