// Proves that a bundle is believed only as it was signed: every part of it that is changed, removed, doubled or swapped
// is refused, and so is every single changed byte.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { digestOf } from "../../../lib/oci/digest.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import {
  BUNDLE_TYPE,
  isSignedBy,
  parseBundle,
  signedBytes,
  signStatement,
} from "../../../lib/sign/statement/bundle.ts";
import { parseStatement, type Subject, statementBytes } from "../../../lib/sign/statement/statement.ts";
import { useSeed } from "../../support/seed.ts";

useSeed();
const key = await PrivateKey.generate();
const stranger = await PrivateKey.generate();
const subjects: Subject[] = ["b", "a", "c"].map((name) => ({
  digest: digestOf(name),
  name: `${name}-1.0-${name.repeat(32)}.spack`,
  dagHash: name.repeat(32),
}));
const facts = { cache: "oci://registry.example/cache", time: Date.UTC(2026, 0, 2), generation: 7 };
const payload = statementBytes(subjects, facts);
const bundle = signStatement(payload, key);

type Json = Record<string, unknown>;
const bundleJson = (): { [name: string]: unknown; verificationMaterial: Json; dsseEnvelope: Json } =>
  JSON.parse(Buffer.from(bundle).toString());
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** What a reader with the right key believes of a bundle; throws or is undefined if nothing. */
function believed(bytes: Uint8Array): ReturnType<typeof parseStatement> | undefined {
  const parsed = parseBundle(bytes, "the bundle");
  return isSignedBy(parsed, key.publicKey) ? parseStatement(parsed.payload, "the statement") : undefined;
}

function isRefused(bytes: Uint8Array): boolean {
  try {
    return believed(bytes) === undefined;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "SIGNATURE_INVALID", String(error));
    return true;
  }
}

test("a statement is the same for the same images in any order, and is read back whole", () => {
  assert.deepEqual(statementBytes(subjects.toReversed(), facts), payload);
  const statement = believed(bundle);
  assert.ok(statement);
  assert.deepEqual([...statement.subjects.values()].flat().length, 3);
  assert.deepEqual(statement.subjects.get(digestOf("a")), [subjects[1]]);
  assert.deepEqual([statement.cache, statement.time, statement.generation], Object.values(facts));
});

test("the signed bytes are those of DSSE's own example, and the envelope has no keyid", () => {
  const type = "application/vnd.in-toto+json";
  assert.equal(String(signedBytes(Buffer.from("hello wörld"))), `DSSEv1 28 ${type} 12 hello wörld`);
  assert.ok(!Buffer.from(bundle).includes("keyid"));
  const hint = (bundleJson().verificationMaterial["publicKey"] as { hint: string }).hint;
  const der = Buffer.from(key.publicKey.pem.replaceAll(/-----.*-----|\s/g, ""), "base64");
  assert.equal(hint, createHash("sha256").update(der).digest("base64"));
});

const signed = (value: unknown): Uint8Array => signStatement(bytesOf(value), key);
const statementJson = (): Json & { subject: Json[] } => JSON.parse(Buffer.from(payload).toString());
const withStatement = (change: (value: Json & { subject: Json[] }) => unknown): Uint8Array => {
  const value = statementJson();
  return signed(change(value) ?? value);
};
const withBundle = (change: (value: ReturnType<typeof bundleJson>) => unknown): Uint8Array => {
  const value = bundleJson();
  change(value);
  return bytesOf(value);
};
const strange = (): { dsseEnvelope: { signatures: Json[]; payload: string } } =>
  JSON.parse(Buffer.from(signStatement(payload, stranger)).toString());
const text = Buffer.from(bundle).toString();

const refused: Record<string, () => Uint8Array> = {
  "a stranger's signature": () => signStatement(payload, stranger),
  "a stranger's signature under our hint": () =>
    withBundle((all) => Object.assign(all.dsseEnvelope, { signatures: strange().dsseEnvelope.signatures })),
  "a stranger's hint": () =>
    withBundle((all) =>
      Object.assign(all.verificationMaterial, { publicKey: { hint: Buffer.alloc(32).toString("base64") } }),
    ),
  "two signatures, ours first": () =>
    withBundle(({ dsseEnvelope }) =>
      (dsseEnvelope["signatures"] as unknown[]).push(...strange().dsseEnvelope.signatures),
    ),
  "two signatures, ours last": () =>
    withBundle(({ dsseEnvelope }) =>
      (dsseEnvelope["signatures"] as unknown[]).unshift(...strange().dsseEnvelope.signatures),
    ),
  "no signature": () => withBundle(({ dsseEnvelope }) => Object.assign(dsseEnvelope, { signatures: [] })),
  "an empty signature": () =>
    withBundle(({ dsseEnvelope }) => Object.assign(dsseEnvelope, { signatures: [{ sig: "" }] })),
  "no list of signatures": () => withBundle(({ dsseEnvelope }) => delete dsseEnvelope["signatures"]),
  "a keyid": () =>
    withBundle(({ dsseEnvelope }) => Object.assign((dsseEnvelope["signatures"] as Json[])[0] ?? {}, { keyid: "x" })),
  "another payload": () =>
    withBundle(({ dsseEnvelope }) => Object.assign(dsseEnvelope, { payload: Buffer.from("{}").toString("base64") })),
  "no payload": () => withBundle(({ dsseEnvelope }) => delete dsseEnvelope["payload"]),
  "the payload with line breaks": () =>
    withBundle(({ dsseEnvelope }) => Object.assign(dsseEnvelope, { payload: `${dsseEnvelope["payload"]}\n` })),
  "the payload in base64url": () =>
    withBundle(({ dsseEnvelope }) =>
      Object.assign(dsseEnvelope, { payload: String(dsseEnvelope["payload"]).replaceAll("=", "") }),
    ),
  "another payload type": () =>
    withBundle(({ dsseEnvelope }) => Object.assign(dsseEnvelope, { payloadType: "text/plain" })),
  "no payload type": () => withBundle(({ dsseEnvelope }) => delete dsseEnvelope["payloadType"]),
  "an older bundle": () => withBundle((all) => Object.assign(all, { mediaType: BUNDLE_TYPE.replace("0.3", "0.1") })),
  "no media type": () => withBundle((all) => delete all["mediaType"]),
  "a field that is not known": () => withBundle((all) => Object.assign(all, { extra: 1 })),
  "a message signature beside the envelope": () => withBundle((all) => Object.assign(all, { messageSignature: {} })),
  "no verification material": () => withBundle((all) => delete (all as Json)["verificationMaterial"]),
  "neither key nor certificate": () => withBundle((all) => delete all.verificationMaterial["publicKey"]),
  "a certificate beside the key": () =>
    withBundle((all) => Object.assign(all.verificationMaterial, { certificate: { rawBytes: "AAAA" } })),
  "a certificate in place of the key": () =>
    withBundle((all) => Object.assign(all, { verificationMaterial: { certificate: { rawBytes: "AAAA" } } })),
  "a certificate chain": () =>
    withBundle((all) => Object.assign(all, { verificationMaterial: { x509CertificateChain: { certificates: [] } } })),
  "the payload twice": () =>
    Buffer.from(text.replace('"payloadType"', `"payload":"${Buffer.from("{}").toString("base64")}","payloadType"`)),
  "the envelope twice": () => Buffer.from(`${text.slice(0, -1)},"dsseEnvelope":{}}`),
  "text after the bundle": () => Buffer.from(`${text}{}`),
  "a byte order mark": () => Buffer.from(`\ufeff${text}`),
  "no JSON": () => Buffer.from("hello"),
  nothing: () => Buffer.alloc(0),
  "a list": () => Buffer.from(`[${text}]`),
  "a hundred levels": () => Buffer.from("[".repeat(100)),
  "a bundle of 9 MiB": () => Buffer.alloc(9 * 1024 * 1024, 0x20),
  "an older statement": () =>
    withStatement((all) => Object.assign(all, { _type: "https://in-toto.io/Statement/v0.1" })),
  "a statement without a type": () => withStatement((all) => void delete all["_type"]),
  "a statement without images": () => withStatement((all) => Object.assign(all, { subject: [] })),
  "a statement with 10 001 images": () =>
    withStatement((all) => Object.assign(all, { subject: Array(10_001).fill(all.subject[0]) })),
  "a statement without a list of images": () => withStatement((all) => void delete (all as Json)["subject"]),
  "an image without a digest": () => withStatement((all) => void delete all.subject[0]?.["digest"]),
  "an image with a sha512 only": () =>
    withStatement((all) => Object.assign(all.subject[0] ?? {}, { digest: { sha512: "00" } })),
  "a digest in upper case": () =>
    withStatement((all) => Object.assign(all.subject[0] ?? {}, { digest: { sha256: "A".repeat(64) } })),
  "a digest that is too short": () =>
    withStatement((all) => Object.assign(all.subject[0] ?? {}, { digest: { sha256: "a".repeat(63) } })),
  "a digest with its algorithm": () =>
    withStatement((all) => Object.assign(all.subject[0] ?? {}, { digest: { sha256: digestOf("a") } })),
  "a name that is no text": () => withStatement((all) => Object.assign(all.subject[0] ?? {}, { name: 1 })),
  "an empty name": () => withStatement((all) => Object.assign(all.subject[0] ?? {}, { name: "" })),
  "a DAG hash that is no text": () =>
    withStatement((all) => Object.assign(all.subject[0] ?? {}, { annotations: { "spack:dag-hash": 1 } })),
  "a statement without a predicate type": () => withStatement((all) => void delete all["predicateType"]),
  "a statement with a field that is not known": () => withStatement((all) => Object.assign(all, { extra: 1 })),
  "a time that is none": () => withStatement((all) => Object.assign(all, { predicate: { time: "yesterday" } })),
  "a generation that is no number": () =>
    withStatement((all) => Object.assign(all, { predicate: { generation: "9" } })),
  "a negative generation": () => withStatement((all) => Object.assign(all, { predicate: { generation: -1 } })),
  "a predicate that is a list": () => withStatement((all) => Object.assign(all, { predicate: [] })),
  "a statement with an image twice under one key": () =>
    signStatement(
      Buffer.from(Buffer.from(payload).toString().replace('"predicateType"', '"subject":[],"predicateType"')),
      key,
    ),
  "a statement that is no JSON": () => signStatement(Buffer.from("{"), key),
  "a signature of the payload alone": () =>
    withBundle(({ dsseEnvelope }) =>
      Object.assign(dsseEnvelope, { signatures: [{ sig: key.sign(payload).toString("base64") }] }),
    ),
};
for (const [what, make] of Object.entries(refused)) test(`refused: ${what}`, () => assert.ok(isRefused(make())));

test("what only keyless signatures need does no harm to one by key", () => {
  const bytes = withBundle((all) => Object.assign(all.verificationMaterial, { tlogEntries: [{ logIndex: "1" }] }));
  assert.ok(believed(bytes));
});

test("a changed byte anywhere is never believed", () => {
  fc.assert(
    fc.property(fc.nat(bundle.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const changed = Buffer.from(bundle);
      changed.writeUInt8(changed.readUInt8(at) ^ mask, at);
      assert.ok(isRefused(changed));
    }),
    { numRuns: 2000 },
  );
});

test("removed, added or repeated bytes are never believed", () => {
  fc.assert(
    fc.property(fc.nat(bundle.length), fc.nat(40), fc.uint8Array({ maxLength: 20 }), (at, length, more) => {
      const changed = Buffer.concat([bundle.subarray(0, at), more, bundle.subarray(at + length)]);
      // White space around the document changes nothing that is believed.
      fc.pre(changed.toString("latin1").trim() !== text);
      assert.ok(isRefused(changed));
    }),
    { numRuns: 1000 },
  );
});
