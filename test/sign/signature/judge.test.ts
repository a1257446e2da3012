// Proves what an image is believed by: a table of everything that can be attached to it, and the answer to each.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type ErrorCode, StaveError } from "../../../lib/errors.ts";
import type { Descriptor } from "../../../lib/oci/descriptor.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { describe as describeBytes } from "../../../lib/oci/manifest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { SignatureFinder } from "../../../lib/sign/signature/find.ts";
import { Judge, type JudgeOptions, NO_REVOCATIONS, type Requirement } from "../../../lib/sign/signature/judge.ts";
import { BUNDLE_TYPE, signStatement } from "../../../lib/sign/statement/bundle.ts";
import { type Subject, statementBytes } from "../../../lib/sign/statement/statement.ts";
import { type Attached, memoryTarget } from "../../support/signatures.ts";

const NOW = Date.UTC(2026, 5, 1);
const [mine, theirs, old] = await Promise.all([1, 2, 3].map(() => PrivateKey.generate()));
assert.ok(mine && theirs && old);
const HASH = "a".repeat(32);
const TAG = `zlib-1.3-${HASH}.spack`;
const CACHE = "oci://registry.example/cache";
const manifest: Descriptor = describeBytes(Buffer.from("the image"), OCI_MANIFEST);
const other = digestOf("another image");
const image = { name: `registry.example/cache:${TAG}`, digest: manifest.digest, tag: TAG, dagHash: HASH };

const good: Subject = { digest: manifest.digest, name: TAG, dagHash: HASH };
const signed = (subjects: readonly Subject[] = [good], key = mine, cache: string | undefined = CACHE): Uint8Array =>
  signStatement(statementBytes(subjects, { cache, time: NOW }), key);
const provenance = (key = mine): Uint8Array => {
  const value = JSON.parse(Buffer.from(statementBytes([good], {})).toString());
  return signStatement(Buffer.from(JSON.stringify({ ...value, predicateType: "https://slsa.dev/provenance/v1" })), key);
};
const pretended = (): Uint8Array => {
  const text = Buffer.from(signed([good], theirs)).toString();
  const hint = (key: PrivateKey): string => Buffer.from(key.publicKey.fingerprint, "hex").toString("base64");
  return Buffer.from(text.replace(hint(theirs), hint(mine)));
};
const certified = (): Uint8Array => {
  const value = JSON.parse(Buffer.from(signed()).toString());
  return Buffer.from(JSON.stringify({ ...value, verificationMaterial: { certificate: { rawBytes: "AAAA" } } }));
};
const junk = (count: number): Attached[] =>
  Array.from({ length: count }, (_, at) => ({ bundle: Buffer.from(`junk ${at}`) }));
const unannotated = (entry: Record<string, unknown>): void => void delete entry["annotations"];

const bare = (entry: Record<string, unknown>): void => {
  delete entry["artifactType"];
  delete entry["annotations"];
};

const trust = (more: Partial<Requirement> = {}): Requirement => ({
  signers: [
    { name: "release", key: mine.publicKey },
    { name: "old", key: old.publicKey, notAfter: NOW - 1 },
  ],
  revoked: NO_REVOCATIONS,
  ...more,
});

interface Row {
  attached: Attached[];
  more?: Partial<Requirement>;
  says?: RegExp;
}

const accepted: Record<string, Row> = {
  "one good signature": { attached: [{ bundle: signed() }] },
  "a batch with other images": {
    attached: [{ bundle: signed([{ digest: other, name: "x", dagHash: undefined }, good]) }],
  },
  "a signature of cosign, which names no tag": {
    attached: [{ bundle: signed([{ ...good, name: undefined, dagHash: undefined }]) }],
  },
  "one of several tags": { attached: [{ bundle: signed([{ ...good, name: "latest", dagHash: undefined }, good]) }] },
  "a good one after one of a stranger": { attached: [{ bundle: signed([good], theirs) }, { bundle: signed() }] },
  "a good one after junk": { attached: [...junk(1), { bundle: signed() }] },
  "a good one after 300 junk ones that hide their type": {
    attached: [...junk(300).map((one) => ({ ...one, entry: unannotated })), { bundle: signed() }],
  },
  "an entry without annotations and type": {
    attached: [{ bundle: signed(), entry: bare }],
  },
  "a manifest without annotations": {
    attached: [
      {
        bundle: signed(),
        change: (all) => void Object.assign(all, { annotations: undefined }),
      },
    ],
  },
  "the cache to which it is bound": { attached: [{ bundle: signed() }], more: { cache: CACHE } },
};
for (const [what, row] of Object.entries(accepted))
  test(`accepted: ${what}`, async () => {
    const target = memoryTarget(manifest, row.attached);
    const found = await judgeOf(row).check(new SignatureFinder(target), image);
    assert.equal(found.signer, "release");
    assert.equal(found.key, mine.publicKey.fingerprint);
  });

const judgeOf = ({ more }: Row): Judge => new Judge(trust(more), () => NOW);

const refused: Record<string, Row & { code: ErrorCode }> = {
  "no signature": { attached: [], code: "SIGNATURE_MISSING", says: /has no signature, expected one by release \(key/ },
  "a stranger's": {
    attached: [{ bundle: signed([good], theirs) }],
    code: "IDENTITY_MISMATCH",
    says: /1 signature was found, the nearest is by key [0-9a-f]{12}$/,
  },
  "a stranger's that claims our key": {
    attached: [{ bundle: pretended() }],
    code: "SIGNATURE_INVALID",
    says: /claims key [0-9a-f]{12}, but that key did not make it/,
  },
  "one by certificate": { attached: [{ bundle: certified() }], code: "IDENTITY_MISMATCH", says: /by a certificate/ },
  "ours for another image": {
    attached: [{ bundle: signed([{ ...good, digest: other }]) }],
    code: "SIGNATURE_INVALID",
    says: /the nearest is for other images/,
  },
  "ours for this image under another tag": {
    attached: [{ bundle: signed([{ ...good, name: "app" }]) }],
    code: "SIGNATURE_INVALID",
    says: /it is for the tag app, not for zlib/,
  },
  "ours for this tag with another DAG hash": {
    attached: [{ bundle: signed([{ ...good, dagHash: "b".repeat(32) }]) }],
    code: "SIGNATURE_INVALID",
    says: /DAG hash b{32}, not a{32}/,
  },
  "ours as provenance": {
    attached: [{ bundle: provenance() }],
    code: "SIGNATURE_MISSING",
    says: /slsa\.dev\/provenance\/v1 describes it without approving it/,
  },
  "ours as provenance, labelled as a signature": {
    attached: [{ bundle: provenance() }, ...junk(2)],
    code: "SIGNATURE_MISSING",
  },
  "ours for another cache, where it is bound": {
    attached: [{ bundle: signed([good], mine, "oci://elsewhere.example/cache") }],
    more: { cache: CACHE },
    code: "SIGNATURE_INVALID",
    says: /signed for oci:\/\/elsewhere\.example\/cache, not oci:\/\/registry\.example\/cache/,
  },
  "ours for no cache, where it is bound": {
    attached: [{ bundle: signStatement(statementBytes([good], {}), mine) }],
    more: { cache: CACHE },
    code: "SIGNATURE_INVALID",
    says: /signed for no cache/,
  },
  "a key that was trusted until yesterday": {
    attached: [{ bundle: signed([good], old) }],
    code: "REVOKED",
    says: /old was trusted until 2026-05-31T/,
  },
  "a revoked image": {
    attached: [{ bundle: signed() }],
    more: { revoked: { ...NO_REVOCATIONS, digests: new Set([manifest.digest]) } },
    code: "REVOKED",
    says: /the policy lists its digest/,
  },
  "a revoked key": {
    attached: [{ bundle: signed() }],
    more: { revoked: { ...NO_REVOCATIONS, keys: new Set([mine.publicKey.fingerprint]) } },
    code: "REVOKED",
    says: /revokes key [0-9a-f]{12} of release/,
  },
  "a manifest for another image": {
    attached: [
      { bundle: signed(), change: (all) => void Object.assign(all, { subject: { ...manifest, digest: other } }) },
    ],
    code: "SIGNATURE_MISSING",
  },
  "a manifest without a subject": {
    attached: [{ bundle: signed(), change: (all) => void delete all["subject"] }],
    code: "SIGNATURE_MISSING",
  },
  "a manifest with two layers": {
    attached: [
      { bundle: signed(), change: (all) => void (all["layers"] as unknown[]).push(...(all["layers"] as unknown[])) },
    ],
    code: "SIGNATURE_MISSING",
  },
  "a manifest without a layer": {
    attached: [{ bundle: signed(), change: (all) => void Object.assign(all, { layers: [] }) }],
    code: "SIGNATURE_MISSING",
  },
  "a layer of another type": {
    attached: [
      {
        bundle: signed(),
        change: (all) => void Object.assign(all, { layers: [describeBytes(signed(), "application/octet-stream")] }),
      },
    ],
    code: "SIGNATURE_MISSING",
  },
  "a bundle that is compressed": {
    attached: [{ bundle: gzipSync(signed()) }],
    code: "SIGNATURE_INVALID",
  },
  "a layer of another size": {
    attached: [
      {
        bundle: signed(),
        change: ({ layers }) => void Object.assign((layers as Descriptor[])[0] ?? {}, { size: 10 }),
      },
    ],
    code: "SIGNATURE_INVALID",
  },
  "a layer that is gone": { attached: [{ bundle: signed(), isGone: true }], code: "SIGNATURE_INVALID" },
  "a layer that claims 1 GB": {
    attached: [
      {
        bundle: signed(),
        isGone: true,
        change: ({ layers }) => void Object.assign((layers as Descriptor[])[0] ?? {}, { size: 1e9 }),
      },
    ],
    code: "SIGNATURE_INVALID",
    says: /has 1000000000 bytes, expected at most/,
  },
  "a manifest of 100 kB": {
    attached: [{ bundle: signed(), change: (all) => void Object.assign(all, { annotations: { x: "x".repeat(1e5) } }) }],
    code: "SIGNATURE_INVALID",
  },
  "a manifest that is no manifest": {
    attached: [{ bundle: signed(), change: (all) => void delete all["config"] }],
    code: "SIGNATURE_INVALID",
  },
  "a manifest that is gone": {
    attached: [{ bundle: signed(), entry: (entry) => void Object.assign(entry, { digest: other }) }],
    code: "SIGNATURE_INVALID",
  },
  "an index in place of a manifest": {
    attached: [{ bundle: signed(), entry: (entry) => void Object.assign(entry, { mediaType: OCI_INDEX }) }],
    code: "SIGNATURE_MISSING",
  },
  "an artifact of another type": {
    attached: [
      { bundle: signed(), entry: (entry) => void Object.assign(entry, { artifactType: "application/spdx+json" }) },
    ],
    code: "SIGNATURE_MISSING",
  },
  "300 junk ones and none that is good": {
    attached: junk(300),
    code: "SIGNATURE_INVALID",
    says: /236 more were not read, because there are too many/,
  },
  "300 that pretend to be signatures before a good one": {
    attached: [...junk(300), { bundle: signed() }],
    code: "SIGNATURE_INVALID",
    says: /more were not read/,
  },
  "nobody who is trusted": {
    attached: [{ bundle: signed() }],
    more: { signers: [] },
    code: "IDENTITY_MISMATCH",
    says: /by anyone: no signer is trusted/,
  },
};
for (const [what, row] of Object.entries(refused))
  test(`refused: ${what}`, async () => {
    const target = memoryTarget(manifest, row.attached);
    await assert.rejects(judgeOf(row).check(new SignatureFinder(target), image), (error: StaveError) => {
      assert.equal(error.code, row.code, error.message);
      assert.equal(error.exitCode, 8);
      assert.match(error.message, row.says ?? /registry\.example/);
      assert.ok(error.hint);
      return true;
    });
  });

test("refused: a revoked signature beside no other", async () => {
  const bundle = signed();
  const revoked = { ...NO_REVOCATIONS, statements: new Set([digestOf(bundle)]) };
  const target = memoryTarget(manifest, [{ bundle }]);
  await assert.rejects(judgeOf({ attached: [], more: { revoked } }).check(new SignatureFinder(target), image), {
    code: "REVOKED",
    message: /revokes the signature sha256:/,
  });
});

test("a question that was not answered is never a missing signature", async () => {
  for (const code of ["NETWORK", "DENIED", "REGISTRY_ERROR", "TIMEOUT"] as const) {
    const failing = (): Promise<never> => Promise.reject(new StaveError(code, "no answer"));
    const target = memoryTarget(manifest, [{ bundle: signed() }]);
    for (const broken of [{ referrers: failing }, { fetchManifest: failing }, { fetchBlob: failing }]) {
      const finder = new SignatureFinder({ ...target, ...broken });
      await assert.rejects(judgeOf({ attached: [] }).check(finder, image), { code });
    }
  }
});

test("a bundle that 200 images share is read once, and an oversized one never", async () => {
  const images = Array.from({ length: 200 }, (_, at) => describeBytes(Buffer.from(`image ${at}`), OCI_MANIFEST));
  const bundle = signed(images.map(({ digest }) => ({ digest, name: undefined, dagHash: undefined })));
  const targets = new Map(images.map((one) => [one.digest, memoryTarget(one, [{ bundle }])]));
  const shared = memoryTarget(manifest, [{ bundle }]);
  const finder = new SignatureFinder({
    ...shared,
    referrers: async (digest) => await (targets.get(digest)?.referrers(digest) ?? []),
    fetchManifest: async (reference, options) => {
      for (const one of targets.values())
        if ((await one.referrers(digestOf(""))).some(({ digest }) => digest === reference))
          return await one.fetchManifest(reference, options);
      return await shared.fetchManifest(reference, options);
    },
  });
  const judge = judgeOf({ attached: [] });
  for (const { digest } of images) await judge.check(finder, { name: "x", digest });
  assert.equal(shared.fetched.get(digestOf(bundle)), 1);
  assert.equal(describeBytes(bundle, BUNDLE_TYPE).digest, digestOf(bundle));
});

test("large bundles of strangers are not kept in memory, whatever their number", async () => {
  const size = 8 * 1024 * 1024 - 1000;
  const large = Array.from({ length: 3 }, (_, at) => ({ bundle: Buffer.alloc(size, `${at}`) }));
  const more = Array.from({ length: 3 }, (_, at) => ({ bundle: Buffer.alloc(size, `${at + 5}`) }));
  const last = Array.from({ length: 3 }, (_, at) => ({ bundle: Buffer.alloc(size, `${at}x`) }));
  const targets = [large, more, last].map((one) => memoryTarget(manifest, one));
  const [first] = targets;
  let at = 0;
  const of = (): ReturnType<typeof memoryTarget> => targets[at] ?? assert.fail();
  const finder = new SignatureFinder({
    ...of(),
    referrers: (digest) => of().referrers(digest),
    fetchManifest: (reference, options) => of().fetchManifest(reference, options),
    fetchBlob: (descriptor, options) => of().fetchBlob(descriptor, options),
  });
  for (const each of [0, 0, 1, 2, 0]) {
    at = each;
    assert.equal((await finder.find(manifest.digest)).broken.length, 3);
  }
  // Kept for the second time, and read again at last.
  assert.equal(first?.fetched.get(digestOf(large[0]?.bundle ?? "")), 2);
});

describe("a judge that reuses what it accepted", () => {
  const [first, second, stranger] = ["one", "two", "three"].map((text) =>
    describeBytes(Buffer.from(text), OCI_MANIFEST),
  );
  assert.ok(first && second && stranger);
  const subject = (one: Descriptor, name: string): Subject => ({ digest: one.digest, name, dagHash: undefined });
  const batch = signed([subject(first, "a"), subject(second, "b")]);
  const askedAbout: string[] = [];
  const finder = (): SignatureFinder => {
    askedAbout.length = 0;
    const target = memoryTarget(first, [{ bundle: batch }]);
    return new SignatureFinder({
      ...target,
      referrers: async (digest) => {
        askedAbout.push(digest);
        return digest === first.digest ? await target.referrers(digest) : [];
      },
    });
  };
  const judge = (options: JudgeOptions, more: Partial<Requirement> = {}): Judge =>
    new Judge(trust(more), () => NOW, options);
  const imageOf = ({ digest }: Descriptor, tag: string) => ({ name: `x:${tag}`, digest, tag });

  test("asks about one image of a statement, and believes it of the others, under their own tags only", async () => {
    const [from, one] = [finder(), judge({ reusesBundles: true })];
    await one.check(from, imageOf(first, "a"));
    const accepted = await one.check(from, imageOf(second, "b"));
    assert.deepEqual([accepted.signer, accepted.isNamed, accepted.bundle], ["release", true, digestOf(batch)]);
    assert.deepEqual(askedAbout, [first.digest]);
    // Another tag, an image of which the statement says nothing: what is attached to them decides.
    await assert.rejects(one.check(from, imageOf(second, "c")), { code: "SIGNATURE_MISSING" });
    await assert.rejects(one.check(from, imageOf(stranger, "a")), { code: "SIGNATURE_MISSING" });
    assert.deepEqual(askedAbout, [first.digest, second.digest, stranger.digest]);
  });

  test("asks about the first image alone, and about others at the same time only if that did not decide", async () => {
    const [from, one] = [finder(), judge({ reusesBundles: true })];
    const all = await Promise.allSettled([
      one.check(from, imageOf(first, "a")),
      ...Array.from({ length: 20 }, () => one.check(from, imageOf(second, "b"))),
      one.check(from, imageOf(stranger, "c")),
    ]);
    assert.equal(all.filter(({ status }) => status === "fulfilled").length, 21);
    assert.deepEqual(askedAbout, [first.digest, stranger.digest]);

    // The first is refused, so the second is asked about.
    const [again, other] = [finder(), judge({ reusesBundles: true })];
    const outcomes = await Promise.allSettled([
      other.check(again, imageOf(stranger, "c")),
      other.check(again, imageOf(first, "a")),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["rejected", "fulfilled"],
    );
    assert.deepEqual(askedAbout, [stranger.digest, first.digest]);
  });

  test("whoever gives up does not wait for the first", async () => {
    const never = new SignatureFinder({
      ...memoryTarget(first, [{ bundle: batch }]),
      referrers: () => new Promise(() => {}),
    });
    const one = judge({ reusesBundles: true });
    void one.check(never, imageOf(first, "a"));
    const abort = new AbortController();
    const waiting = one.check(never, imageOf(second, "b"), { signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });

  test("still refuses what is revoked", async () => {
    const revoked = { ...NO_REVOCATIONS, digests: new Set([second.digest]) };
    const [from, one] = [finder(), judge({ reusesBundles: true }, { revoked })];
    await one.check(from, imageOf(first, "a"));
    await assert.rejects(one.check(from, imageOf(second, "b")), { code: "REVOKED" });
  });

  test("is asked for: otherwise each image needs its own", async () => {
    const [from, one] = [finder(), judge({})];
    await one.check(from, imageOf(first, "a"));
    await assert.rejects(one.check(from, imageOf(second, "b")), { code: "SIGNATURE_MISSING" });
  });

  test("believes nothing of a bundle that was refused", async () => {
    const [from, one] = [finder(), judge({ reusesBundles: true }, { signers: [{ name: "x", key: theirs.publicKey }] })];
    await assert.rejects(one.check(from, imageOf(first, "a")), { code: "IDENTITY_MISMATCH" });
    await assert.rejects(one.check(from, imageOf(second, "b")), { code: "SIGNATURE_MISSING" });
  });
});
