// Public keys that may sign: ECDSA P-256 and RSA, both with SHA-256, which stave and cosign verify alike. cosign signs
// with other kinds in ways that its own verification does not understand, so they are refused by name.
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { type ErrorCode, StaveError } from "../../errors.ts";
import { digestOf, hexOf } from "../../oci/digest.ts";

/** Bits of an RSA key: shorter ones can be broken, longer ones make verification slow. */
const SHORTEST_RSA = 2048;
const LONGEST_RSA = 8192;

/** Maximum number of bytes of a key file. */
export const KEY_FILE_LIMIT: number = 64 * 1024;

/** The kinds of keys that stave uses. */
export type KeyKind = "ECDSA P-256" | "RSA";

/** A public key. */
export class PublicKey {
  readonly kind: KeyKind;
  /** The SHA-256 of the key's SubjectPublicKeyInfo, in hex: its name in policies and messages. */
  readonly fingerprint: string;
  readonly #key: KeyObject;

  private constructor(key: KeyObject, kind: KeyKind) {
    this.kind = kind;
    this.#key = key;
    this.fingerprint = hexOf(digestOf(key.export({ type: "spki", format: "der" })));
  }

  /** Wraps a public key, or the public half of a private one. Throws USAGE for a kind that is not supported. */
  static of(key: KeyObject, name: string): PublicKey {
    const half = key.type === "public" ? key : createPublicKey(key);
    return new PublicKey(half, kindOf(half, name));
  }

  /** Parses a PEM file with one public key. Throws `code`, or USAGE for a kind that is not supported. */
  static parse(text: string, name: string, code: ErrorCode = "CONFIG_INVALID"): PublicKey {
    // Node would derive the public key from a private one, which then lies where only a public one should be.
    if (!/^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/.test(text))
      throw new StaveError(code, `${name} is not a public key in PEM form`, {
        subject: name,
        hint: "name the file that starts with -----BEGIN PUBLIC KEY-----, for example cosign.pub",
      });
    let key: KeyObject;
    try {
      key = createPublicKey({ key: text, format: "pem", type: "spki" });
    } catch (cause) {
      throw new StaveError(code, `${name} is not a valid public key`, { subject: name, cause });
    }
    return PublicKey.of(key, name);
  }

  /** The key as a PEM file. */
  get pem(): string {
    return String(this.#key.export({ type: "spki", format: "pem" }));
  }

  /** True if the key made this signature over these bytes. */
  verifies(bytes: Uint8Array, signature: Uint8Array): boolean {
    try {
      return verify("sha256", bytes, this.#key, signature);
    } catch {
      // Signatures that cannot even be decoded.
      return false;
    }
  }
}

/** The kind of a key. Throws USAGE, with the reason, for a kind that is not supported. */
function kindOf(key: KeyObject, name: string): KeyKind {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  if (type === "ec" && namedCurve === "prime256v1") return "ECDSA P-256";
  if (type === "rsa" && modulusLength >= SHORTEST_RSA && modulusLength <= LONGEST_RSA) return "RSA";
  throw new StaveError("USAGE", `${name} is ${describeKind(type, namedCurve, modulusLength)}`, {
    subject: name,
    hint: "use an ECDSA P-256 or RSA key; `stave keygen` makes one",
  });
}

function describeKind(type: string | undefined, curve: string | undefined, bits: number): string {
  if (type === "ed25519")
    return "an Ed25519 key, which is not supported: cosign signs with a variant of it that it cannot verify itself";
  if (type === "ec") return `an ECDSA key on ${curve}, expected P-256: other clients use other hashes with it`;
  if (type === "rsa") return `an RSA key of ${bits} bits, expected ${SHORTEST_RSA} to ${LONGEST_RSA}`;
  return `a key of type ${type}, expected ECDSA P-256 or RSA`;
}
