// Private keys as cosign stores them: PKCS#8, encrypted by scrypt and NaCl's secretbox, as JSON in PEM.
import { randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import * as z from "zod";
import { StaveError } from "../../errors.ts";
import { parseBySchema } from "../../oci/manifest.ts";
import type { Secret } from "../../printable/secret.ts";

/** The PEM types that cosign has used for its keys. */
const PEM =
  /^\s*-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END ENCRYPTED \1 PRIVATE KEY-----\s*$/;

const SALT_BYTES = 32;
const NONCE_BYTES = 24;
const KEY_BYTES = 32;

/** The cost of guessing a password. cosign's own; the file names its own, up to these limits. */
const COST = { N: 65_536, r: 8, p: 1 } as const;
const LARGEST_N = 1_048_576;
const LARGEST_R = 32;
const LARGEST_P = 16;
/** scrypt needs 128 N r bytes and a little more. */
const MEMORY_LIMIT = 1024 * 1024 * 1024;

const sealedSchema = z.object({
  kdf: z.object({
    name: z.literal("scrypt"),
    params: z.object({
      N: z.int().min(2).max(LARGEST_N),
      r: z.int().min(1).max(LARGEST_R),
      p: z.int().min(1).max(LARGEST_P),
    }),
    salt: z.base64().max(1024),
  }),
  cipher: z.object({ name: z.literal("nacl/secretbox"), nonce: z.base64().length((NONCE_BYTES / 3) * 4) }),
  ciphertext: z.base64().max(64 * 1024),
});

const derive = promisify(
  (
    password: Buffer,
    salt: Buffer,
    length: number,
    options: { N: number; r: number; p: number; maxmem: number },
    done: (error: Error | null, key: Buffer) => void,
  ) => scrypt(password, salt, length, options, done),
);

/** True if a PEM text is a key in cosign's form. */
export function isSealed(text: string): boolean {
  return PEM.test(text);
}

/** Decrypts a key in cosign's form; returns its PKCS#8 bytes. Throws CONFIG_INVALID, and USAGE for a wrong password. */
export async function unseal(text: string, password: Secret, name: string): Promise<Buffer> {
  const [, , body = ""] = PEM.exec(text) ?? [];
  const { kdf, cipher, ciphertext } = readSealed(Buffer.from(body, "base64"), name);
  const { N, r, p } = kdf.params;
  const maxmem = 256 * N * r + 1024 * r * p;
  if (maxmem > MEMORY_LIMIT || (N & (N - 1)) !== 0)
    throw new StaveError("CONFIG_INVALID", `${name} asks for scrypt with N=${N} and r=${r}, which is not usable`, {
      subject: name,
    });
  const salt = Buffer.from(kdf.salt, "base64");
  const key = await derive(Buffer.from(password.reveal()), salt, KEY_BYTES, { N, r, p, maxmem });
  try {
    return Buffer.from(
      xsalsa20poly1305(key, Buffer.from(cipher.nonce, "base64")).decrypt(Buffer.from(ciphertext, "base64")),
    );
  } catch {
    // The cause would say no more, and hold what was tried.
    throw new StaveError("USAGE", `the password does not open ${name}`, {
      subject: name,
      hint: "set COSIGN_PASSWORD to the password of this key, or unset it to be asked",
    });
  } finally {
    key.fill(0);
  }
}

function readSealed(bytes: Buffer, name: string): z.infer<typeof sealedSchema> {
  try {
    return parseBySchema(bytes, sealedSchema, name);
  } catch (cause) {
    // The details would quote the file.
    throw new StaveError("CONFIG_INVALID", `${name} is not a key that cosign or \`stave keygen\` made`, {
      subject: name,
      cause,
    });
  }
}

/** Encrypts a key as cosign does; returns the PEM text. */
export async function seal(pkcs8: Buffer, password: Secret): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const options = { ...COST, maxmem: 256 * COST.N * COST.r };
  const key = await derive(Buffer.from(password.reveal()), salt, KEY_BYTES, options);
  const sealed = {
    kdf: { name: "scrypt", params: COST, salt: salt.toString("base64") },
    cipher: { name: "nacl/secretbox", nonce: nonce.toString("base64") },
    ciphertext: Buffer.from(xsalsa20poly1305(key, nonce).encrypt(pkcs8)).toString("base64"),
  };
  key.fill(0);
  const lines = Buffer.from(JSON.stringify(sealed)).toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${lines}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
}
