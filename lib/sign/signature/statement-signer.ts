// What signs statements: a key, or an identity with short-lived certificates.
import type { PrivateKey } from "../key/private-key.ts";
import { type Bundle, signStatement } from "../statement/bundle.ts";
import type { Signer } from "./judge.ts";

/** Who signed, for reports. */
export interface SignedBy {
  /** The fingerprint of the key; undefined for an identity, whose keys live for minutes. */
  readonly key: string | undefined;
  /** The identity in the certificate; undefined for a key, and if nothing had to be signed. */
  readonly identity: { readonly issuer: string; readonly name: string } | undefined;
}

/** Signs statements. */
export interface StatementSigner {
  /** Signs a statement; returns the bytes of a bundle that was verified. */
  sign(payload: Uint8Array): Promise<Uint8Array>;
  /** True if the signer may have made a bundle; only then is `self` worth its cost. */
  mayHaveMade(bundle: Bundle): boolean;
  /** The signer as one whose signatures count, to find its earlier ones. */
  self(): Promise<Signer>;
  /** Who has signed so far. */
  readonly by: SignedBy;
}

/** Signs with a key. */
export function keySigner(key: PrivateKey): StatementSigner {
  return {
    sign: (payload) => Promise.resolve(signStatement(payload, key)),
    mayHaveMade: ({ certificate }) => certificate === undefined,
    self: () => Promise.resolve({ name: "this key", key: key.publicKey }),
    by: { key: key.publicKey.fingerprint, identity: undefined },
  };
}
