// Content digests (OCI image-spec, "Digests"): the branded type, the parser and incremental hashing. No I/O.
import { createHash, type Hash, hash as hashOnce } from "node:crypto";
import * as z from "zod";
import { StaveError } from "../errors.ts";

declare const brand: unique symbol;

/** `algorithm:hex` of the exact bytes, already validated; made only by the functions of this file. */
export type Digest = string & { readonly [brand]: "Digest" };

/** The registered algorithms; sha512 is always read, and written only on request. */
export type DigestAlgorithm = "sha256" | "sha512";

const PATTERN = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True if a text is a digest that stave can check. */
export function isDigest(text: string): text is Digest {
  return PATTERN.test(text);
}

/** Parses a digest. Throws REFERENCE_INVALID, naming the text and the expected form. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new StaveError(
    "REFERENCE_INVALID",
    `invalid digest ${JSON.stringify(text.slice(0, 160))}: expected sha256: and 64, or sha512: and 128, lower-case hex digits`,
  );
}

/** The schema of a digest inside a document. */
export const digestSchema = z.string().max(200).refine(isDigest, { error: "expected a sha256 or sha512 digest" });

/** The digest of some bytes. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${hashOnce(algorithm, bytes, "hex")}` as Digest;
}

/** The algorithm of a digest. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The hex part of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** A digest from an algorithm and its hex digits. */
export function digestFromHex(hex: string, algorithm: DigestAlgorithm = "sha256"): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}

/** Computes a digest piece by piece. */
export class Digester {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  /** Bytes seen so far. */
  size = 0;

  constructor(algorithm: DigestAlgorithm = "sha256") {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Adds bytes. */
  update(chunk: Uint8Array): this {
    this.#hash.update(chunk);
    this.size += chunk.byteLength;
    return this;
  }

  /** The digest of everything so far; more may follow. */
  peek(): Digest {
    return `${this.#algorithm}:${this.#hash.copy().digest("hex")}` as Digest;
  }

  /** The digest of everything so far; ends the computation. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest("hex")}` as Digest;
  }
}
