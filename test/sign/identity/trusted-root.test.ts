// Proves that a signature with a certificate is believed only as it was made: every field of certificate, log entry,
// stamp and root that is changed, removed, doubled or swapped is refused, and so is every changed byte. Where the
// library alone would accept a change, the test shows it.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { bundleFromJSON } from "@sigstore/bundle";
import { TrustedRoot as RootDocument } from "@sigstore/protobuf-specs";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";
import fc from "fast-check";
import type { StaveError } from "../../../lib/errors.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { TrustedRoot } from "../../../lib/sign/identity/trusted-root.ts";
import { parseBundle } from "../../../lib/sign/statement/bundle.ts";
import { statementBytes } from "../../../lib/sign/statement/statement.ts";
import { keylessSigner } from "../../support/keyless.ts";
import { useSeed } from "../../support/seed.ts";
import { IDENTITY, ISSUER, startSigstore } from "../../support/sigstore.ts";

useSeed();
const payload = statementBytes([{ digest: digestOf("x"), name: "app", dagHash: undefined }], {});
const other = statementBytes([{ digest: digestOf("y"), name: "app", dagHash: undefined }], {});
const HOUR = 3600_000;

const instance = await startSigstore();
const elsewhere = await startSigstore();
const sign = async (where: typeof instance, rekor: 1 | 2, what = payload): Promise<Buffer> => {
  const { signer, close } = keylessSigner(where, { rekor });
  try {
    return Buffer.from(await signer.sign(what));
  } finally {
    await close();
  }
};
const first = await sign(instance, 1);
const second = await sign(instance, 2);
const again = await sign(instance, 1);
const foreign = await sign(elsewhere, 1);
const changedStatement = await sign(instance, 1, other);
for (const one of [instance, elsewhere]) await one.close();

// biome-ignore lint/suspicious/noExplicitAny: documents to be broken in every way.
type Any = any;
const jsonOf = (bytes: Buffer): Any => JSON.parse(bytes.toString());
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const rootJson = (): Any => structuredClone(instance.trustedRoot);
const goodRoot = TrustedRoot.parse(bytesOf(rootJson()), "the root");

/** What a reader believes of a bundle; throws if nothing. */
function believed(bytes: Buffer, root = goodRoot) {
  const parsed = parseBundle(bytes, "the bundle");
  return { ...root.check(parsed, "the bundle"), payload: parsed.payload.toString() };
}

function isRefused(bytes: Buffer, root = goodRoot): boolean {
  try {
    believed(bytes, root);
    return false;
  } catch (error) {
    assert.equal((error as StaveError).code, "SIGNATURE_INVALID", String(error));
    return true;
  }
}

/** What the library alone makes of it. */
function libraryAccepts(bytes: Buffer): boolean {
  const material = toTrustMaterial(RootDocument.fromJSON(rootJson()), () => assert.fail("a certificate is expected"));
  try {
    new Verifier(material).verify(toSignedEntity(bundleFromJSON(jsonOf(bytes))));
    return true;
  } catch {
    return false;
  }
}

test("both kinds of log are believed, with the identity in the certificate", () => {
  for (const bytes of [first, second]) {
    const { name, issuer, repositoryId, ownerId, time } = believed(bytes);
    assert.deepEqual([name, issuer, repositoryId, ownerId], [IDENTITY, ISSUER, "1234", "99"]);
    assert.ok(Math.abs(time - Date.now()) < HOUR);
  }
});

const material = (all: Any): Any => all.verificationMaterial;
const entry = (all: Any): Any => material(all).tlogEntries[0];
const proof = (all: Any): Any => entry(all).inclusionProof;
const stamps = (all: Any): Any => material(all).timestampVerificationData;
/** The same base64 with another byte. */
const flipped = (text: string, at = 10): string => {
  const bytes = Buffer.from(text, "base64");
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes.toString("base64");
};
const body = (all: Any, change: (value: Any) => void): void => {
  const value = JSON.parse(Buffer.from(entry(all).canonicalizedBody, "base64").toString());
  change(value);
  entry(all).canonicalizedBody = bytesOf(value).toString("base64");
};

interface Row {
  from?: Buffer;
  change: (all: Any) => unknown;
}
const rows: Record<string, Row> = {
  // The certificate.
  "a byte of the certificate": {
    change: (all) => (material(all).certificate.rawBytes = flipped(material(all).certificate.rawBytes, 200)),
  },
  "the signature of the certificate": {
    change: (all) => (material(all).certificate.rawBytes = flipped(material(all).certificate.rawBytes, -1 + 700)),
  },
  "the certificate of another signature": {
    change: (all) => (material(all).certificate = material(jsonOf(again)).certificate),
  },
  "the certificate of another instance": {
    change: (all) => (material(all).certificate = material(jsonOf(foreign)).certificate),
  },
  "a certificate of nothing": { change: (all) => (material(all).certificate.rawBytes = "AAAA") },
  "a certificate with more after it": {
    change: (all) =>
      (material(all).certificate.rawBytes = Buffer.concat([
        Buffer.from(material(all).certificate.rawBytes, "base64"),
        Buffer.from("more"),
      ]).toString("base64")),
  },
  "the authority's own certificate": {
    change: (all) =>
      (material(all).certificate.rawBytes = rootJson().certificateAuthorities[0].certChain.certificates[0].rawBytes),
  },
  "no certificate": { change: (all) => delete material(all).certificate },
  "everything of another instance": { from: foreign, change: () => {} },
  // The statement and its signature.
  "the statement of another signature": {
    change: (all) => (all.dsseEnvelope.payload = jsonOf(changedStatement).dsseEnvelope.payload),
  },
  "the envelope of another signature": { change: (all) => (all.dsseEnvelope = jsonOf(changedStatement).dsseEnvelope) },
  "the signature of another signature": {
    change: (all) => (all.dsseEnvelope.signatures = jsonOf(again).dsseEnvelope.signatures),
  },
  // The log entry.
  "no log entry": { change: (all) => (material(all).tlogEntries = []) },
  "no list of log entries": { change: (all) => delete material(all).tlogEntries },
  "the log entry twice": { change: (all) => material(all).tlogEntries.push(entry(all)) },
  "five log entries": { change: (all) => (material(all).tlogEntries = Array(5).fill(entry(all))) },
  "the log entry of another signature": {
    change: (all) => (material(all).tlogEntries = material(jsonOf(again)).tlogEntries),
  },
  "the log entry of another instance": {
    change: (all) => (material(all).tlogEntries = material(jsonOf(foreign)).tlogEntries),
  },
  "a good log entry and one of another instance": {
    change: (all) => material(all).tlogEntries.push(entry(jsonOf(foreign))),
  },
  "another log": { change: (all) => (entry(all).logId.keyId = flipped(entry(all).logId.keyId)) },
  "the log of version 2": { change: (all) => (entry(all).logId = entry(jsonOf(second)).logId) },
  "no log": { change: (all) => delete entry(all).logId },
  "another index": { change: (all) => (entry(all).logIndex = "7") },
  "another index in version 2": { from: second, change: (all) => (entry(all).logIndex = "7") },
  "a later time": { change: (all) => (entry(all).integratedTime = String(Number(entry(all).integratedTime) + 1)) },
  "no time": { change: (all) => delete entry(all).integratedTime },
  "a time in version 2, where nothing signs it": {
    from: second,
    change: (all) => (entry(all).integratedTime = String(Math.floor(Date.now() / 1000))),
  },
  "a time with a leading zero": { change: (all) => (entry(all).integratedTime = `0${entry(all).integratedTime}`) },
  "an index that is negative": { change: (all) => (entry(all).logIndex = "-1") },
  "another kind": { change: (all) => (entry(all).kindVersion.kind = "hashedrekord") },
  "another version": { change: (all) => (entry(all).kindVersion.version = "0.0.2") },
  "a kind that is not known": { change: (all) => (entry(all).kindVersion = { kind: "rpm", version: "0.0.1" }) },
  "no kind": { change: (all) => delete entry(all).kindVersion },
  "another promise": {
    change: (all) =>
      (entry(all).inclusionPromise.signedEntryTimestamp = flipped(entry(all).inclusionPromise.signedEntryTimestamp)),
  },
  "the promise of another entry": {
    change: (all) => (entry(all).inclusionPromise = entry(jsonOf(again)).inclusionPromise),
  },
  "no promise and no stamp": {
    change: (all) => {
      delete entry(all).inclusionPromise;
      delete material(all).timestampVerificationData;
    },
  },
  "no promise, but its time": { change: (all) => delete entry(all).inclusionPromise },
  "no proof": { change: (all) => delete entry(all).inclusionProof },
  "the proof of another entry": { change: (all) => (entry(all).inclusionProof = proof(jsonOf(again))) },
  "another root hash": { change: (all) => (proof(all).rootHash = flipped(proof(all).rootHash)) },
  "another tree size": { change: (all) => (proof(all).treeSize = "2") },
  "another index in the proof": { change: (all) => (proof(all).logIndex = "1") },
  "a hash too many": { change: (all) => (proof(all).hashes = [proof(all).rootHash]) },
  "65 hashes": { change: (all) => (proof(all).hashes = Array(65).fill(proof(all).rootHash)) },
  "no checkpoint": { change: (all) => delete proof(all).checkpoint },
  "another checkpoint": {
    change: (all) => (proof(all).checkpoint.envelope = proof(all).checkpoint.envelope.replace("\n1\n", "\n2\n")),
  },
  "the checkpoint of another entry": { change: (all) => (proof(all).checkpoint = proof(jsonOf(again)).checkpoint) },
  "a checkpoint without a signature": {
    change: (all) => (proof(all).checkpoint.envelope = proof(all).checkpoint.envelope.split("\u2014")[0]),
  },
  "a checkpoint whose signature has another spelling": {
    change: (all) => (proof(all).checkpoint.envelope = proof(all).checkpoint.envelope.replace(/\n$/, "<\n")),
  },
  "a checkpoint signed under another name": {
    from: second,
    change: (all) =>
      (proof(all).checkpoint.envelope = proof(all).checkpoint.envelope.replace(
        "\u2014 127.0.0.1",
        "\u2014 log.example",
      )),
  },
  "another body": { change: (all) => body(all, (value) => (value.spec.payloadHash.value = "00".repeat(32))) },
  "the certificate of another signature in the body": {
    change: (all) =>
      body(all, (value) => {
        const of = jsonOf(Buffer.from(entry(jsonOf(again)).canonicalizedBody, "base64"));
        value.spec.signatures[0].verifier = of.spec.signatures[0].verifier;
      }),
  },
  "no certificate in the body": { change: (all) => body(all, (value) => delete value.spec.signatures[0].verifier) },
  "a body that is no JSON": { change: (all) => (entry(all).canonicalizedBody = "AAAA") },
  "no body": { change: (all) => delete entry(all).canonicalizedBody },
  "a field that is not known": { change: (all) => (entry(all).extra = 1) },
  "the entry of a log of version 2": {
    change: (all) => (material(all).tlogEntries = material(jsonOf(second)).tlogEntries),
  },
  // The time stamp.
  "no stamp in version 2": { from: second, change: (all) => delete material(all).timestampVerificationData },
  "an empty list of stamps in version 2": { from: second, change: (all) => (stamps(all).rfc3161Timestamps = []) },
  "a byte of the stamp": {
    from: second,
    change: (all) =>
      (stamps(all).rfc3161Timestamps[0].signedTimestamp = flipped(
        stamps(all).rfc3161Timestamps[0].signedTimestamp,
        90,
      )),
  },
  "the stamp of another signature": {
    from: second,
    change: (all) => (material(all).timestampVerificationData = stamps(jsonOf(first))),
  },
  "the stamp of another instance": {
    from: second,
    change: (all) => (material(all).timestampVerificationData = stamps(jsonOf(foreign))),
  },
  "a good stamp and one of another instance": {
    from: second,
    change: (all) => stamps(all).rfc3161Timestamps.push(stamps(jsonOf(foreign)).rfc3161Timestamps[0]),
  },
  "the stamp twice": {
    from: second,
    change: (all) => stamps(all).rfc3161Timestamps.push(stamps(all).rfc3161Timestamps[0]),
  },
  "five stamps": {
    from: second,
    change: (all) => (stamps(all).rfc3161Timestamps = Array(5).fill(stamps(all).rfc3161Timestamps[0])),
  },
  "a stamp that is none": { change: (all) => (stamps(all).rfc3161Timestamps[0].signedTimestamp = "AAAA") },
  "a stamp with a field that is not known": { change: (all) => (stamps(all).extra = 1) },
};
for (const [what, { from = first, change }] of Object.entries(rows))
  test(`refused: ${what}`, () => {
    const value = jsonOf(from);
    change(value);
    assert.ok(isRefused(bytesOf(value)));
  });

const roots: Record<string, (root: Any) => unknown> = {
  "another authority": (root) => (root.certificateAuthorities = (elsewhere.trustedRoot as Any).certificateAuthorities),
  "another log of certificates": (root) => (root.ctlogs = (elsewhere.trustedRoot as Any).ctlogs),
  "another log": (root) => (root.tlogs = (elsewhere.trustedRoot as Any).tlogs),
  "another authority for stamps": (root) =>
    (root.timestampAuthorities = (elsewhere.trustedRoot as Any).timestampAuthorities),
  "an authority that ended before": (root) =>
    (root.certificateAuthorities[0].validFor.end = new Date(Date.now() - HOUR / 2).toISOString()),
  "an authority that starts later": (root) =>
    (root.certificateAuthorities[0].validFor.start = new Date(Date.now() + HOUR).toISOString()),
  "a log of certificates that ended before": (root) =>
    (root.ctlogs[0].publicKey.validFor.end = new Date(Date.now() - HOUR / 2).toISOString()),
  "an authority for stamps that ended before": (root) =>
    (root.timestampAuthorities[0].validFor.end = new Date(Date.now() - HOUR / 2).toISOString()),
};
for (const [what, change] of Object.entries(roots))
  test(`refused with a root of ${what}`, () => {
    const value = rootJson();
    change(value);
    assert.ok(isRefused(second, TrustedRoot.parse(bytesOf(value), "the root")));
  });

test("a root that is none, or lacks a part, is an invalid configuration", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const changes: ((root: Any) => unknown)[] = [
    (root) => delete root.mediaType,
    (root) => (root.certificateAuthorities = []),
    (root) => delete root.ctlogs,
    (root) => delete root.tlogs,
    (root) => (root.tlogs[0].publicKey.rawBytes = "AAAA"),
    (root) =>
      (root.certificateAuthorities[0].certChain.certificates[0].rawBytes = publicKey
        .export({ type: "spki", format: "der" })
        .toString("base64")),
  ];
  for (const change of changes) {
    const value = rootJson();
    change(value);
    assert.throws(() => TrustedRoot.parse(bytesOf(value), "the root"), { code: "CONFIG_INVALID" }, String(change));
  }
  for (const text of ["", "{", "[]", '{"mediaType":1}'])
    assert.throws(() => TrustedRoot.parse(Buffer.from(text), "the root"), { code: "CONFIG_INVALID" });
});

test("what the library alone accepts, and should not", () => {
  const changed = (from: Buffer, change: (all: Any) => unknown): Buffer => {
    const value = jsonOf(from);
    change(value);
    return bytesOf(value);
  };
  // The proof is not compared with the checkpoint that proves it.
  for (const change of [rows["another root hash"], rows["another tree size"]]) {
    const bytes = changed(first, change?.change ?? assert.fail());
    assert.ok(libraryAccepts(bytes) && isRefused(bytes));
  }
  // Nothing signs the index of a log of version 2, nor a time.
  for (const what of ["another index in version 2", "a time in version 2, where nothing signs it"]) {
    const bytes = changed(second, rows[what]?.change ?? assert.fail());
    assert.ok(libraryAccepts(bytes) && isRefused(bytes), what);
  }
  // An identity that is given as text is a pattern, searched for anywhere.
  const rootMaterial = toTrustMaterial(RootDocument.fromJSON(rootJson()), () => assert.fail());
  const entity = toSignedEntity(bundleFromJSON(jsonOf(first)));
  new Verifier(rootMaterial).verify(entity, { subjectAlternativeName: "github.com/org/c.che" });
});

test("a changed byte is never believed, or changes nothing that is", () => {
  const fromStamp = (bytes: Buffer): [number, number] => {
    const start = bytes.indexOf('"signedTimestamp":"');
    return [start, bytes.indexOf('"}', start)];
  };
  for (const bytes of [first, second]) {
    const expected = believed(bytes);
    const [start, end] = fromStamp(bytes);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8(changed.readUInt8(at) ^ mask, at);
        if (isRefused(changed)) return;
        // A stamp may carry certificates, which prove nothing: those of the root count.
        assert.ok(at > start && at < end, `byte ${at} was changed: ${changed.subarray(at - 20, at + 20)}`);
        assert.deepEqual(believed(changed), expected);
      }),
      { numRuns: 1500 },
    );
  }
});
