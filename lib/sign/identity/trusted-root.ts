// The trusted root of a Sigstore deployment, and the check of bundles against it: the certificate was issued by its
// authority and logged, the signature was logged, and all of it happened while the certificate was valid. Whose
// certificates count is decided by the caller.

import { X509Certificate } from "node:crypto";
import { bundleFromJSON } from "@sigstore/bundle";
import { TrustedRoot as RootDocument } from "@sigstore/protobuf-specs";
import { type TrustMaterial, toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";
import * as z from "zod";
import { messageOf, StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import { parseJsonBytes } from "../../spack/text/json.ts";
import type { Bundle } from "../statement/bundle.ts";
import { base64Schema, readDocument } from "../statement/read-document.ts";
import { type NamedCertificate, readCertificate } from "./certificate.ts";

/** Maximum number of bytes of a trusted root; the public one has 7 kB. */
export const ROOT_LIMIT: number = 1024 * 1024;

/** Maximum numbers of bytes of an entry's body, its checkpoint, and a time stamp. */
const BODY_LIMIT = 1024 * 1024;
const CHECKPOINT_LIMIT = 64 * 1024;
const STAMP_LIMIT = 64 * 1024;
/** Maximum number of hashes in a proof: a log of 2^64 entries needs 64. */
const HASH_LIMIT = 64;
/** Maximum numbers of log entries and of time stamps of a signature; one of each is usual. */
const WITNESS_LIMIT = 4;

const number = z.string().regex(/^(?:0|[1-9][0-9]{0,19})$/);

// A signed note (C2SP signed-note): a text, an empty line, and a line for each signature. Decoders skip characters that
// are not base64, so that other spellings of a signature would be accepted, too.
function isNote(envelope: string): boolean {
  const end = envelope.indexOf("\n\n");
  const lines = envelope.slice(end + 2).split("\n");
  return (
    end > 0 &&
    lines.pop() === "" &&
    lines.every((line) => {
      const signature = /^\u2014 \S+ (\S+)$/.exec(line)?.[1];
      return signature !== undefined && Buffer.from(signature, "base64").toString("base64") === signature;
    })
  );
}

const entrySchema = z.strictObject({
  logIndex: number.optional(),
  logId: z.strictObject({ keyId: base64Schema(64) }),
  kindVersion: z.strictObject({ kind: z.string().max(64), version: z.string().max(64) }),
  integratedTime: number.optional(),
  inclusionPromise: z.strictObject({ signedEntryTimestamp: base64Schema(2048) }).nullish(),
  inclusionProof: z.strictObject({
    logIndex: number.optional(),
    rootHash: base64Schema(64),
    treeSize: number,
    hashes: z.array(base64Schema(64)).max(HASH_LIMIT).optional(),
    checkpoint: z.strictObject({
      envelope: z.string().min(1).max(CHECKPOINT_LIMIT).refine(isNote, "expected a signed note"),
    }),
  }),
  canonicalizedBody: base64Schema(BODY_LIMIT),
});

const materialSchema = z.looseObject({
  verificationMaterial: z.looseObject({
    tlogEntries: z.array(entrySchema).min(1).max(WITNESS_LIMIT),
    timestampVerificationData: z
      .strictObject({
        rfc3161Timestamps: z
          .array(z.strictObject({ signedTimestamp: base64Schema(STAMP_LIMIT) }))
          .max(WITNESS_LIMIT)
          .optional(),
      })
      .nullish(),
  }),
});

/** What a log stores: the certificate in both forms that stave accepts. */
const dsseBody = z.object({
  spec: z.object({ signatures: z.array(z.object({ verifier: base64Schema(64 * 1024) })).length(1) }),
});
const recordBody = z.object({
  spec: z.object({
    hashedRekordV002: z.object({
      signature: z.object({
        verifier: z.object({ x509Certificate: z.object({ rawBytes: base64Schema(64 * 1024) }) }),
      }),
    }),
  }),
});

/** A certificate that was checked. */
export interface CheckedCertificate extends NamedCertificate {
  /** When it was signed, in milliseconds since the epoch, as the log or a stamp says. */
  readonly time: number;
}

/** Whom a deployment trusts. */
export class TrustedRoot {
  /** Where it is from, for messages. */
  readonly name: string;
  readonly #material: TrustMaterial;
  /** Several signers of a policy share a root. */
  readonly #checked = new WeakMap<Bundle, CheckedCertificate>();

  private constructor(name: string, material: TrustMaterial) {
    this.name = name;
    this.#material = material;
  }

  /** Parses a `trusted_root.json`. Throws CONFIG_INVALID. */
  static parse(bytes: Uint8Array, name: string): TrustedRoot {
    const value = parseJsonBytes(bytes, { name, code: "CONFIG_INVALID" });
    const hint = "name a trusted_root.json of Sigstore, as `cosign trusted-root create` writes it";
    try {
      const root = RootDocument.fromJSON(value);
      if (!/^application\/vnd\.dev\.sigstore\.trustedroot[.+]/.test(root.mediaType)) throw new Error("no media type");
      for (const list of ["certificateAuthorities", "tlogs", "ctlogs"] as const)
        if (root[list].length === 0) throw new Error(`it has no ${list}`);
      // The library reads certificates only when it needs them.
      for (const { certChain } of [...root.certificateAuthorities, ...root.timestampAuthorities])
        for (const { rawBytes } of certChain?.certificates ?? []) new X509Certificate(rawBytes);
      // Whatever names a key by a bundle's hint is no certificate.
      const noKeys = (): never => {
        throw new Error("a certificate is expected");
      };
      return new TrustedRoot(name, toTrustMaterial(root, noKeys));
    } catch (cause) {
      throw new StaveError("CONFIG_INVALID", `${name} is no trusted root: ${printable(messageOf(cause))}`, {
        subject: name,
        hint,
        cause,
      });
    }
  }

  /** Checks a bundle with a certificate, and returns whom it was issued to. Throws SIGNATURE_INVALID. */
  check(bundle: Bundle, name: string): CheckedCertificate {
    const known = this.#checked.get(bundle);
    if (known !== undefined) return known;
    const checked = this.#check(bundle, name);
    this.#checked.set(bundle, checked);
    return checked;
  }

  #check(bundle: Bundle, name: string): CheckedCertificate {
    const { document, certificate } = bundle;
    if (certificate === undefined || document === undefined)
      throw new StaveError("SIGNATURE_INVALID", `${name} has no certificate`, { subject: name });
    const { verificationMaterial } = readDocument(document, materialSchema, name);
    for (const entry of verificationMaterial.tlogEntries) {
      checkCertificateOf(entry, certificate, name);
      checkNumbers(entry, name);
    }
    try {
      const entity = toSignedEntity(bundleFromJSON(JSON.parse(document.toString("utf8"))));
      const verifier = new Verifier(this.#material, { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 });
      verifier.verify(entity);
      const times = entity.timestamps.flatMap((one) => {
        if (one.$case === "timestamp-authority") return [one.timestamp.signingTime.getTime()];
        return one.tlogEntry.inclusionPromise ? [Number(one.tlogEntry.integratedTime) * 1000] : [];
      });
      // The latest, because keys and policies end.
      return { ...readCertificate(certificate), time: Math.max(...times) };
    } catch (cause) {
      // The library throws errors of many kinds for malformed input; each of them is a refusal.
      throw new StaveError("SIGNATURE_INVALID", `${name} does not verify: ${printable(messageOf(cause))}`, {
        subject: name,
        cause,
      });
    }
  }
}

type Entry = z.infer<typeof entrySchema>;

// The library compares signature and payload of an entry with those of the bundle, but not the certificate.
function checkCertificateOf({ kindVersion, canonicalizedBody }: Entry, certificate: Buffer, name: string): void {
  const { kind, version } = kindVersion;
  const body = `the log entry of ${name}`;
  let logged: Buffer | undefined;
  if (kind === "dsse" && version === "0.0.1") {
    const [signature] = readDocument(canonicalizedBody, dsseBody, body).spec.signatures;
    logged = derOf(signature?.verifier);
  } else if (kind === "hashedrekord" && version === "0.0.2")
    logged = readDocument(canonicalizedBody, recordBody, body).spec.hashedRekordV002.signature.verifier.x509Certificate
      .rawBytes;
  else
    throw new StaveError(
      "SIGNATURE_INVALID",
      `${body} is of the kind ${printable(`${kind} ${version}`)}, expected dsse`,
    );
  if (!logged?.equals(certificate))
    throw new StaveError("SIGNATURE_INVALID", `${body} is for another certificate`, { subject: name });
}

// What the library does not compare: the proof with the checkpoint that proves it, and numbers that nothing signs.
function checkNumbers({ logIndex = "0", integratedTime = "0", inclusionPromise, inclusionProof }: Entry, name: string) {
  const { checkpoint, rootHash, treeSize } = inclusionProof;
  const [, size, root] = checkpoint.envelope.split("\n");
  const isProven = size === treeSize && root === rootHash.toString("base64");
  // A promise signs index and time. In logs of version 2 there is one index, and no time.
  const isSigned = inclusionPromise || (logIndex === (inclusionProof.logIndex ?? "0") && integratedTime === "0");
  if (!isProven || !isSigned)
    throw new StaveError("SIGNATURE_INVALID", `the log entry of ${name} contradicts its proof`, { subject: name });
}

function derOf(pem: Buffer | undefined): Buffer | undefined {
  const text = /^-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(String(pem))?.[1];
  return text === undefined ? undefined : Buffer.from(text, "base64");
}
