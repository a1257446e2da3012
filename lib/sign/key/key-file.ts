// Key files: pairs written once and never overwritten, private and public keys read within limits.
import { open, rm } from "node:fs/promises";
import { fileError, StaveError, systemCode } from "../../errors.ts";
import type { Secret } from "../../printable/secret.ts";
import { readBounded } from "../../util/read-file.ts";
import { PrivateKey } from "./private-key.ts";
import { KEY_FILE_LIMIT, PublicKey } from "./public-key.ts";

/** A pair of key files. */
export interface KeyPairReport {
  /** The path of the private key, which only its owner can read. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** The SHA-256 of the public key, in hex. */
  readonly fingerprint: string;
}

/** Where to write a pair, and what encrypts the private key. */
export interface KeyPairOptions {
  readonly privateKey: string;
  readonly publicKey: string;
  readonly password: Secret;
}

/** Makes a key pair that cosign can use, too. Throws USAGE if either file exists, FILE_SYSTEM. */
export async function writeKeyPair({ privateKey, publicKey, password }: KeyPairOptions): Promise<KeyPairReport> {
  const key = await PrivateKey.generate();
  await writeNew(privateKey, await key.sealed(password), 0o600);
  try {
    await writeNew(publicKey, key.publicKey.pem, 0o644);
  } catch (error) {
    await rm(privateKey, { force: true });
    throw error;
  }
  return { privateKey, publicKey, fingerprint: key.publicKey.fingerprint };
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  let isMade = false;
  try {
    // `wx` also refuses a link to a file that does not exist.
    await using file = await open(path, "wx", mode);
    isMade = true;
    await file.writeFile(text);
    await file.sync();
  } catch (cause) {
    if (isMade) await rm(path, { force: true });
    if (systemCode(cause) !== "EEXIST") throw fileError(cause, "write", path);
    throw new StaveError("USAGE", `${path} exists, and keys are never overwritten`, {
      subject: path,
      hint: "choose another name, or move the file away",
      cause,
    });
  }
}

/**
 * Reads a private key. `password` is called only if one is needed. Throws as `PrivateKey.open`, and NOT_FOUND,
 * FILE_SYSTEM.
 */
export async function readPrivateKey(path: string, password: () => Promise<Secret>): Promise<PrivateKey> {
  const { bytes } = await readBounded(path, KEY_FILE_LIMIT);
  return await PrivateKey.open(bytes.toString("latin1"), path, password);
}

/** Reads a public key. Throws as `PublicKey.parse`, NOT_FOUND, FILE_SYSTEM. */
export async function readPublicKey(path: string): Promise<PublicKey> {
  const { bytes } = await readBounded(path, KEY_FILE_LIMIT);
  return PublicKey.parse(bytes.toString("latin1"), path);
}
