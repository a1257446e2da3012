// Proves what signing costs and leaves behind: few requests, one signature, nothing new the second time, and no lost
// signature when many sign at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { StaveError } from "../../../lib/errors.ts";
import type { Descriptor } from "../../../lib/oci/descriptor.ts";
import { canonicalBytes, describe } from "../../../lib/oci/manifest.ts";
import { OCI_CONFIG, OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { type CheckSignaturesOptions, checkSignatures } from "../../../lib/ops/sign/check-signatures.ts";
import { chosenImages } from "../../../lib/ops/sign/images.ts";
import { type SignOptions, signImages } from "../../../lib/ops/sign/sign.ts";
import { IdentityPattern } from "../../../lib/sign/identity/identity-pattern.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { SignatureFinder } from "../../../lib/sign/signature/find.ts";
import { Judge, NO_REVOCATIONS, type Signer } from "../../../lib/sign/signature/judge.ts";
import { legacyPayload, legacyTag } from "../../../lib/sign/signature/legacy.ts";
import { keySigner } from "../../../lib/sign/signature/statement-signer.ts";
import { LayoutTarget } from "../../../lib/target/layout/layout.ts";
import type { Target } from "../../../lib/target/target.ts";
import { mapLimit } from "../../../lib/util/limit.ts";
import { bytesSource } from "../../../lib/util/stream.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { connect, HandClock } from "../../support/client.ts";
import { keylessSigner } from "../../support/keyless.ts";
import { type Rule, startRegistry, UNCONDITIONAL } from "../../support/registry.ts";
import { IDENTITY, ISSUER, startSigstore } from "../../support/sigstore.ts";
import { temporaryFolder } from "../../support/tree.ts";

const key = await PrivateKey.generate();
const CONFIG = Buffer.from(
  JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } }),
);
// A DAG hash has no 0, 1, 8 and 9.
const hashOf = (at: number): string =>
  at
    .toString(4)
    .replaceAll(/\d/g, (digit) => "wxyz"[Number(digit)] ?? "")
    .padStart(32, "a");
const tagOf = (at: number): string => `made-1.${at}-${hashOf(at)}.spack`;

/** As on distribution: no referrers API, no conditions. */
const WITHOUT_API: Rule[] = [
  { path: /\/referrers\//, fault: { status: 404 } },
  { method: "PUT", path: /\/manifests\//, fault: { withoutHeader: "oci-subject" } },
  UNCONDITIONAL,
];

async function pushImages(
  target: Target,
  count: number,
): Promise<{ reference: string; manifest: Descriptor; isNew: boolean }[]> {
  const config = describe(CONFIG, OCI_CONFIG);
  await target.pushBlob(config, bytesSource(CONFIG));
  return await mapLimit([...Array(count).keys()], 16, async (at) => {
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], annotations: { at: String(at) } };
    const { descriptor } = await target.pushManifest(canonicalBytes(manifest), OCI_MANIFEST, { tag: tagOf(at) });
    return { reference: tagOf(at), manifest: descriptor, isNew: true };
  });
}

const options = (target: Target, more: Pick<SignOptions, "images"> & Partial<SignOptions>): SignOptions => ({
  ...{ target, signer: keySigner(key), clock: systemClock, cache: "oci://registry.example/cache" },
  ...more,
});

function judging(target: Target, signers: readonly Signer[]): CheckSignaturesOptions["judge"] {
  const judge = new Judge({ signers, revoked: NO_REVOCATIONS }, () => systemClock.now());
  const finder = new SignatureFinder(target);
  return (image, how) => judge.check(finder, image, how);
}

async function check(target: Target, references: readonly string[], keys = [key]): Promise<number[]> {
  const signed: number[] = [];
  for (const one of keys) {
    const signers = [{ name: "x", key: one.publicKey }];
    const report = await checkSignatures({
      ...{ target, references, judge: judging(target, signers) },
      readSpec: () => Promise.reject(new Error("the signature has the name")),
    });
    signed.push(report.signed);
  }
  return signed;
}

for (const count of [1, 40, 1000])
  for (const { what, rules, most } of [
    { what: "with the referrers API", rules: [], most: count + 4 },
    // And one for each page of the list of tags.
    { what: "without it", rules: WITHOUT_API, most: 3 * count + 4 },
  ])
    test(`signing ${count} images that were just pushed, on a registry ${what}, takes at most ${most} requests`, async () => {
      const registry = await startRegistry({ rules: [...rules] });
      // Nothing takes time, so that no list of tags gets old.
      const clock = new HandClock();
      const { target, close } = connect(registry.host, "cache", { clock });
      try {
        const images = await pushImages(target, count);
        registry.requests.length = 0;
        const signing = signImages(options(target, { images }));
        let isDone = false;
        void signing.finally(() => (isDone = true));
        const lists = (): number =>
          registry.requests.filter(({ path, status }) => path.includes("/sha256-") && status === 201).length;
        for (; !isDone; await turn()) if (lists() === count && clock.sleeping > 0) clock.advance(1000);
        assert.equal((await signing).signatures, 1);
        const made = registry.requests.filter(({ path }) => !path.endsWith("/tags/list")).length;
        assert.ok(made <= most, `${made} requests`);
        assert.ok(rules.length > 0 || made === registry.requests.length);
        const references = images.map(({ reference }) => reference);
        assert.deepEqual(await check(target, references.slice(-20)), [Math.min(20, count)]);
      } finally {
        await close();
        await registry.close();
      }
    });

for (const [count, statements] of [
  [1000, 1],
  [1001, 2],
  [2500, 3],
] as const)
  test(`signing ${count} images without a key takes one certificate, and ${statements} in the log`, async () => {
    const instance = await startSigstore();
    const { signer, close } = keylessSigner(instance, { rekor: 1 });
    const attached: number[] = [];
    const target = {
      name: "registry.example/cache",
      pushBlob: () => Promise.resolve("pushed"),
      pushReferrers: async (manifests: unknown[]) => void attached.push(manifests.length),
    } as unknown as Target;
    const images = Array.from({ length: count }, (_, at) => ({
      reference: tagOf(at),
      manifest: describe(Buffer.from(`image ${at}`), OCI_MANIFEST),
      isNew: true,
    }));
    try {
      await signImages(options(target, { images, signer }));
      assert.equal(instance.entries.length, statements);
      assert.equal(instance.requests.length, 1 + 2 * statements, "a certificate; an entry and a stamp each");
      assert.deepEqual(attached, [count], "all at once");
    } finally {
      await Promise.all([close(), instance.close()]);
    }
  });

for (const count of [1, 40])
  test(`signing ${count} images without a key takes one certificate, one entry and few requests`, async () => {
    const instance = await startSigstore();
    const registry = await startRegistry();
    const { target, close } = connect(registry.host, "cache");
    const { signer, root, close: closeSigner } = keylessSigner(instance, { rekor: 2 });
    try {
      const images = await pushImages(target, count);
      registry.requests.length = 0;
      await signImages(options(target, { images, signer }));
      assert.equal(instance.entries.length, 1);
      assert.equal(instance.requests.length, 3, "a certificate, an entry and a stamp");
      assert.ok(registry.requests.length <= count + 4, `${registry.requests.length} requests`);
      const identity = new IdentityPattern({ issuer: ISSUER, identity: IDENTITY }, "the test");
      const signers = [{ name: "ci", identity, root: () => Promise.resolve(root) }];
      const references = images.slice(-20).map(({ reference }) => reference);
      const readSpec = (): Promise<never> => Promise.reject(new Error("the signature has the name"));
      const report = await checkSignatures({ target, references, judge: judging(target, signers), readSpec });
      assert.equal(report.signed, references.length);
      // Signing again asks for a certificate at most, to know whose signatures to look for.
      const { signer: again, close: closeAgain } = keylessSigner(instance, { rekor: 2 });
      const known = images.map(({ reference }) => ({ reference }));
      const second = await signImages(options(target, { images: known, signer: again }));
      assert.deepEqual([second.signatures, instance.entries.length], [0, 1]);
      await closeAgain();
    } finally {
      await Promise.all([closeSigner(), close(), registry.close(), instance.close()]);
    }
  });

test("1 001 images take two signatures, and two tags of one image one artifact", async () => {
  const attached: number[] = [];
  const target = {
    name: "registry.example/cache",
    pushBlob: () => Promise.resolve("pushed"),
    pushReferrers: async (manifests: unknown[]) => void attached.push(manifests.length),
  } as unknown as Target;
  const images = Array.from({ length: 1001 }, (_, at) => ({
    reference: tagOf(at),
    manifest: describe(Buffer.from(`image ${at === 1 ? 0 : at}`), OCI_MANIFEST),
    isNew: true,
  }));
  assert.equal((await signImages(options(target, { images }))).signatures, 2);
  assert.deepEqual(attached, [1000]);
});

for (const rules of [[], WITHOUT_API])
  test(`signing again changes nothing, and a dry run never does (${rules.length} rules)`, async () => {
    const registry = await startRegistry({ rules: [...rules] });
    const { target, close } = connect(registry.host, "cache");
    try {
      const images = (await pushImages(target, 5)).map(({ reference }) => ({ reference }));
      const writes = (): number => registry.requests.filter(({ method }) => !["GET", "HEAD"].includes(method)).length;
      let before = writes();
      const dry = await signImages(options(target, { images, dryRun: true }));
      assert.deepEqual([dry.signatures, writes()], [1, before]);
      await signImages(options(target, { images }));
      assert.ok(writes() > before);
      before = writes();
      const again = await signImages(options(target, { images }));
      assert.deepEqual([again.signatures, again.images.filter(({ isNew }) => isNew).length, writes()], [0, 0, before]);
      // Another key signs them all the same.
      const other = await PrivateKey.generate();
      await signImages(options(target, { images, signer: keySigner(other) }));
      const references = images.map(({ reference }) => reference);
      assert.deepEqual(await check(target, references, [key, other]), [5, 5]);
    } finally {
      await close();
      await registry.close();
    }
  });

for (const rules of [[], WITHOUT_API])
  test(`of eight that sign at once none is lost (${rules.length} rules)`, async () => {
    const registry = await startRegistry({ rules: [...rules] });
    const { target, close } = connect(registry.host, "cache");
    const keys = await Promise.all(Array.from({ length: 8 }, () => PrivateKey.generate()));
    try {
      const images = (await pushImages(target, 6)).map(({ reference }) => ({ reference }));
      const one = async (each: PrivateKey): Promise<void> => {
        const client = connect(registry.host, "cache", { clock: systemClock });
        await signImages(options(client.target, { images, signer: keySigner(each) }));
        await client.close();
      };
      await Promise.all(keys.map(one));
      const references = images.map(({ reference }) => reference);
      assert.deepEqual(await check(target, references, keys), Array(8).fill(6));
    } finally {
      await close();
      await registry.close();
    }
  });

for (const rules of [[], [UNCONDITIONAL]])
  test(`the form of cosign 2 is written once per key, and none of four at once is lost (${rules.length} rules)`, async () => {
    const registry = await startRegistry({ rules: [...rules] });
    const { target, close } = connect(registry.host, "cache");
    const keys = await Promise.all(Array.from({ length: 4 }, () => PrivateKey.generate()));
    try {
      const [image] = await pushImages(target, 1);
      assert.ok(image);
      const images = [{ reference: image.reference }];
      const repository = "registry.example/cache";
      const sign = async (each: PrivateKey): Promise<number> =>
        (await signImages(options(target, { images, signer: keySigner(each), legacy: { key: each, repository } })))
          .legacy;
      // Without conditions the last of several writers wins, so these sign one after the other.
      if (rules.length === 0) assert.deepEqual(await Promise.all(keys.map(sign)), [1, 1, 1, 1]);
      else for (const each of keys) assert.equal(await sign(each), 1);
      for (const each of keys) assert.equal(await sign(each), 0);
      const { bytes } = await target.fetchManifest(legacyTag(image.manifest.digest));
      const { layers } = JSON.parse(bytes.toString());
      const payload = legacyPayload({ digest: image.manifest.digest, repository });
      for (const { publicKey } of keys) {
        const signatures = layers.map(({ annotations }: Descriptor) => Object.values(annotations ?? {})[0] ?? "");
        const good = signatures.filter((text: string) => publicKey.verifies(payload, Buffer.from(text, "base64")));
        assert.equal(good.length, 1);
      }
      await target.pushManifest(bytes, OCI_MANIFEST, { tag: "app" });
      assert.deepEqual(await chosenImages(target, { all: true }), ["app", image.reference]);
    } finally {
      await close();
      await registry.close();
    }
  });

test("the images of a cache are its specs and its index; with `all` every tag but those of signatures", async () => {
  const target = await LayoutTarget.open(temporaryFolder(), { clock: systemClock, create: true });
  const config = describe(CONFIG, OCI_CONFIG);
  await target.pushBlob(config, bytesSource(CONFIG));
  const tags = [tagOf(1), "index.spack", "app", `sha256-${"a".repeat(64)}`, `sha256-${"a".repeat(64)}.sig`, "x.spack"];
  for (const tag of tags)
    await target.pushManifest(
      canonicalBytes({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] }),
      OCI_MANIFEST,
      {
        tag,
      },
    );
  assert.deepEqual(await chosenImages(target, {}), ["index.spack", tagOf(1)]);
  assert.deepEqual(await chosenImages(target, { all: true }), ["app", "index.spack", tagOf(1), "x.spack"]);
  assert.deepEqual(await chosenImages(target, { reference: "app" }), ["app"]);
  await assert.rejects(chosenImages(target, { reference: `sha512:${"a".repeat(128)}` }), { code: "REFERENCE_INVALID" });
  await assert.rejects(signImages(options(target, { images: [{ reference: "nope" }] })), { code: "NOT_FOUND" });
  const report = await signImages(options(target, { images: [{ reference: "nope" }, { reference: "app" }] }));
  assert.deepEqual(report.gone, ["nope"]);
  await target.close();
});

test("a signature moves with its image, but not to another tag; and a moved nameless one is checked by its content", async () => {
  const target = await LayoutTarget.open(temporaryFolder(), { clock: systemClock, create: true });
  const [first, second] = await pushImages(target, 2);
  assert.ok(first && second);
  await signImages(options(target, { images: [first] }));
  const { bytes } = await target.fetchManifest(first.reference);
  await target.pushManifest(bytes, OCI_MANIFEST, { tag: second.reference });
  const signers = [{ name: "x", key: key.publicKey }];
  const judge = judging(target, signers);
  const readSpec = (): Promise<never> => Promise.reject(new StaveError("SPEC_INVALID", "another spec"));
  const moved = await checkSignatures({ target, references: [second.reference], judge, readSpec });
  assert.equal(moved.images[0]?.error?.code, "SIGNATURE_INVALID");
  // Signed by its digest, so that the statement has no name.
  await signImages(
    options(target, { images: [{ reference: first.manifest.digest }], signer: keySigner(await PrivateKey.generate()) }),
  );
  const nameless = await PrivateKey.generate();
  const { digest } = first.manifest;
  await signImages(
    options(target, { images: [{ reference: digest, manifest: first.manifest }], signer: keySigner(nameless) }),
  );
  const trusting = judging(target, [{ name: "y", key: nameless.publicKey }]);
  const report = await checkSignatures({ target, references: [second.reference], judge: trusting, readSpec });
  assert.equal(report.images[0]?.error?.code, "SIGNATURE_INVALID");
  assert.match(report.images[0]?.error?.message ?? "", /is not what its tag says/);
  const byDigest = await checkSignatures({ target, references: [digest], judge: trusting, readSpec });
  assert.equal(byDigest.signed, 1);
  await target.close();
});
