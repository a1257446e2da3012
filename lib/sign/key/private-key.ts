// Private keys that sign: read from files, made anew, and used. The key never leaves this file but encrypted.
import { createPrivateKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { StaveError } from "../../errors.ts";
import type { Secret } from "../../printable/secret.ts";
import { PublicKey } from "./public-key.ts";
import { isSealed, seal, unseal } from "./sealed-key.ts";

const PKCS8 = /^\s*-----BEGIN (ENCRYPTED )?PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END \1?PRIVATE KEY-----\s*$/;

/** A key that signs. */
export class PrivateKey {
  readonly publicKey: PublicKey;
  readonly #key: KeyObject;

  private constructor(key: KeyObject, publicKey: PublicKey) {
    this.#key = key;
    this.publicKey = publicKey;
  }

  /**
   * Opens a key file: cosign's encrypted form, or PKCS#8 in PEM, encrypted or not. `password` is called only if one is
   * needed. Throws CONFIG_INVALID for anything else, USAGE for a wrong password and for keys of other kinds.
   */
  static async open(text: string, name: string, password: () => Promise<Secret>): Promise<PrivateKey> {
    const found = PKCS8.exec(text);
    let key: KeyObject;
    if (isSealed(text)) {
      const bytes = await unseal(text, await password(), name);
      key = decoded(name, () => createPrivateKey({ key: bytes, format: "der", type: "pkcs8" }));
      bytes.fill(0);
    } else if (found?.[1] !== undefined) {
      const passphrase = (await password()).reveal();
      key = decoded(name, () => createPrivateKey({ key: text, format: "pem", passphrase }), true);
    } else if (found !== null) key = decoded(name, () => createPrivateKey({ key: text, format: "pem" }));
    else throw notAKey(text, name);
    return new PrivateKey(key, PublicKey.of(key, name));
  }

  /** Makes a new ECDSA P-256 key. */
  static async generate(): Promise<PrivateKey> {
    const { privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: "prime256v1" });
    return new PrivateKey(privateKey, PublicKey.of(privateKey, "the new key"));
  }

  /** The signature of some bytes. */
  sign(bytes: Uint8Array): Buffer {
    return sign("sha256", bytes, this.#key);
  }

  /** The key as a file that cosign reads, encrypted with a password. */
  async sealed(password: Secret): Promise<string> {
    const bytes = this.#key.export({ type: "pkcs8", format: "der" });
    try {
      return await seal(bytes, password);
    } finally {
      bytes.fill(0);
    }
  }

  /** Keeps the key out of traces and reports. */
  toJSON(): string {
    return `private key of ${this.publicKey.fingerprint}`;
  }
}

function decoded(name: string, decode: () => KeyObject, isEncrypted = false): KeyObject {
  try {
    return decode();
  } catch {
    // OpenSSL's reason may describe the key; it is left out.
    if (isEncrypted)
      throw new StaveError("USAGE", `the password does not open ${name}`, {
        subject: name,
        hint: "set COSIGN_PASSWORD to the password of this key, or unset it to be asked",
      });
    throw new StaveError("CONFIG_INVALID", `${name} is not a valid private key`, { subject: name });
  }
}

function notAKey(text: string, name: string): StaveError {
  const [, type] = /-----BEGIN ([A-Z ]{1,64})-----/.exec(text) ?? [];
  const convert = "convert it with `openssl pkcs8 -topk8`, or make a new one with `stave keygen`";
  if (type === "PUBLIC KEY")
    return new StaveError("USAGE", `${name} is a public key, expected a private one`, {
      subject: name,
      hint: "sign with the private key, for example cosign.key",
    });
  const what = type === undefined ? "no private key in PEM form" : `a PEM file of type ${type}`;
  return new StaveError("CONFIG_INVALID", `${name} is ${what}, expected PRIVATE KEY or cosign's own`, {
    subject: name,
    hint: convert,
  });
}
