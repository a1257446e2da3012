// Proves that a push attaches signed bills of materials and provenance to its images, once, and that they are no
// signatures.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Digest } from "../../../lib/oci/digest.ts";
import type { PushOptions, PushReport } from "../../../lib/ops/push/push.ts";
import { push } from "../../../lib/ops/push/push.ts";
import { type CiJob, ciJob } from "../../../lib/ops/sign/ci-job.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { SignatureFinder } from "../../../lib/sign/signature/find.ts";
import { keySigner } from "../../../lib/sign/signature/statement-signer.ts";
import { isSignedBy } from "../../../lib/sign/statement/bundle.ts";
import { SIGNATURE_PREDICATE } from "../../../lib/sign/statement/statement.ts";
import type { Target } from "../../../lib/target/target.ts";
import { readAll } from "../../../lib/util/stream.ts";
import { layoutForTests } from "../../support/caches.ts";
import { connect } from "../../support/client.ts";
import { failsWith } from "../../support/errors.ts";
import { GITLAB_JOB } from "../../support/gitlab-job.ts";
import { goldenStore, named, pushOptions } from "../../support/push.ts";
import { type Rule, startRegistry, UNCONDITIONAL } from "../../support/registry.ts";

const key = await PrivateKey.generate();
const golden = await goldenStore();
const job: CiJob = ciJob(GITLAB_JOB);

async function attested(target: Target, more: Partial<PushOptions>): Promise<PushReport> {
  const roots = [named(golden.store, "fleet")];
  const sign = { signer: keySigner(key), cache: "oci://registry.example/cache" };
  return await push(pushOptions(golden.store, target, { roots, tags: ["app"], sign, ...more }));
}

/** The statements that an image has attached, by predicate type; all must be signed by the key. */
async function statements(
  target: Target,
  digest: Digest,
): Promise<Map<string, { subject: unknown[]; predicate: unknown }[]>> {
  const { bundles, broken } = await new SignatureFinder(target).find(digest);
  assert.deepEqual(broken, []);
  for (const { bundle } of bundles) assert.ok(isSignedBy(bundle, key.publicKey));
  const all = bundles.map(({ bundle }) => JSON.parse(bundle.payload.toString("utf8")));
  return Map.groupBy(all, ({ predicateType }) => predicateType);
}

/**
 * The bill of materials that trivy finds (`--sbom-sources oci`): of the referrers whose type it knows, the first with
 * one layer of that type that is a bundle of a statement about one.
 */
async function foundByTrivy(target: Target, digest: Digest): Promise<Record<string, unknown> | undefined> {
  const bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
  const known = ["application/vnd.cyclonedx+json", "application/spdx+json", bundle];
  for (const entry of (await target.referrers(digest)).filter(({ artifactType }) =>
    known.includes(artifactType ?? ""),
  )) {
    const { layers } = JSON.parse((await target.fetchManifest(entry.digest)).bytes.toString());
    if (layers.length !== 1 || layers[0].mediaType !== entry.artifactType) continue;
    const { mediaType, dsseEnvelope } = JSON.parse(String(await readAll(await target.fetchBlob(layers[0]), 1e6, "it")));
    if (mediaType !== bundle || dsseEnvelope.payloadType !== "application/vnd.in-toto+json") continue;
    const { predicateType, predicate } = JSON.parse(String(Buffer.from(dsseEnvelope.payload, "base64")));
    if (["https://cyclonedx.org/bom", "https://spdx.dev/Document"].includes(predicateType)) return predicate;
  }
  return undefined;
}

async function proves(target: Target): Promise<void> {
  const attest = { sbom: "spdx", job, tool: "1.0" } as const;
  const first = await attested(target, { attest });
  assert.deepEqual(first.failures, []);
  assert.deepEqual(
    first.attestations.map(({ kind, images, made }) => [kind, images, made]),
    [
      ["spdx", 9, 9],
      ["provenance", 9, 9],
    ],
  );
  const app = first.images[0]?.manifest ?? assert.fail();
  const found = await statements(target, app);
  assert.deepEqual([...found.keys()].sort(), [
    "https://sigstore.dev/cosign/sign/v1",
    "https://slsa.dev/provenance/v1",
    "https://spdx.dev/Document",
  ]);
  const [sbom] = found.get("https://spdx.dev/Document") ?? [];
  assert.match(JSON.stringify(sbom?.predicate), /"name":"registry\.example\/cache:app"/);
  assert.equal(sbom?.subject.length, 1);
  const [provenance] = found.get("https://slsa.dev/provenance/v1") ?? [];
  assert.equal(provenance?.subject.length, 9);
  assert.match(JSON.stringify(provenance?.predicate), /"buildType":"urn:stave:push:v1"/);
  assert.equal((await foundByTrivy(target, app))?.["spdxVersion"], "SPDX-2.3");
  // Each spec has its own bill of materials.
  const hull = first.specs.find(({ name }) => name === "hull")?.manifest ?? assert.fail();
  const [own] = (await statements(target, hull)).get("https://spdx.dev/Document") ?? [];
  assert.doesNotMatch(JSON.stringify(own?.predicate), /"name":"voyage"/);

  // The same again changes nothing; another format and another job add theirs.
  const second = await attested(target, { attest });
  assert.deepEqual(
    second.attestations.map(({ kind, images, made }) => [kind, images, made]),
    [
      ["spdx", 1, 0],
      ["provenance", 0, 0],
    ],
    "the tagged image is described, but was made by the first push",
  );
  const third = await attested(target, { attest: { sbom: "cyclonedx", tool: "1.0" } });
  assert.deepEqual(
    third.attestations.map(({ kind, made }) => [kind, made]),
    [["cyclonedx", 1]],
  );
  const last = await statements(target, app);
  assert.deepEqual(last.get("https://spdx.dev/Document")?.length, 1);
  assert.equal(last.get("https://cyclonedx.org/bom")?.length, 1);
  assert.equal(last.get(SIGNATURE_PREDICATE)?.length, 1);
}

test("in a directory", async () => {
  const target = await layoutForTests();
  await proves(target);
});

const WITHOUT_API: Rule[] = [
  { path: /\/referrers\//, fault: { status: 404 } },
  { method: "PUT", path: /\/manifests\//, fault: { withoutHeader: "oci-subject" } },
  UNCONDITIONAL,
];
for (const [name, rules] of [
  ["with the referrers API", []],
  ["without the referrers API", WITHOUT_API],
] as const)
  test(`on a registry ${name}`, async () => {
    const registry = await startRegistry({ rules: [...rules] });
    const { target, close } = connect(registry.host, "org/cache");
    try {
      await proves(target);
    } finally {
      await close();
      await registry.close();
    }
  });

test("without a signer nothing is pushed", async () => {
  const target = await layoutForTests();
  const attest = { sbom: "spdx", tool: "1.0" } as const;
  await failsWith("USAGE", attested(target, { attest, sign: undefined }), /must be signed/);
  assert.deepEqual(await Array.fromAsync(target.tags()), []);
});

test("what may not be signed is not attested: images that were there before, unsigned", async () => {
  const target = await layoutForTests();
  await attested(target, { sign: undefined });
  const again = attested(target, { attest: { sbom: "spdx", tool: "1.0" }, tags: ["app", "other"] });
  await failsWith("SIGNATURE_MISSING", again, /nothing was pushed/);
  const tags = await Array.fromAsync(target.tags());
  assert.deepEqual(
    tags.filter((tag) => !tag.endsWith(".spack")),
    ["app"],
  );
});

test("attestations of all images are attached together", async () => {
  const inner = await layoutForTests();
  const attached: number[] = [];
  const blobs = new Map<string, number>();
  const target = new Proxy(inner, {
    get(_, name) {
      if (name === "pushReferrers")
        return async (...[manifests, options]: Parameters<Target["pushReferrers"]>) => {
          attached.push(manifests.length);
          await inner.pushReferrers(manifests, options);
        };
      if (name === "pushBlob")
        return async (...[descriptor, ...rest]: Parameters<Target["pushBlob"]>) => {
          blobs.set(descriptor.mediaType, (blobs.get(descriptor.mediaType) ?? 0) + 1);
          return await inner.pushBlob(descriptor, ...rest);
        };
      const value: unknown = Reflect.get(inner, name);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
  const report = await attested(target, { attest: { sbom: "spdx", job, tool: "1.0" } });
  assert.deepEqual(report.failures, []);
  // A registry without the referrers API takes a second for each such call.
  assert.deepEqual(attached, [9, 18], "the signatures; bills of materials and provenance");
  assert.equal(blobs.get("application/vnd.oci.empty.v1+json"), 2);
});
