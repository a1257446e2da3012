// Proves that the library signs and verifies as the command does, and judges what is read of caches that it may write.
import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { install, list, openCache, type PushOptions, push, sign, updateIndex, verify } from "../../lib/index.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { IDENTITY, ISSUER, startSigstore } from "../support/sigstore.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const instance = await startSigstore();
after(() => instance.close());
const HULL = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";
const CACHE = "oci-layout:./cache";
cpSync(golden("spack-1.2/plain.oci"), join(work, "cache"), { recursive: true });
writeFileSync(join(work, "root.json"), JSON.stringify(instance.trustedRoot));
writeFileSync(join(work, "config.json"), JSON.stringify(instance.signingConfig()));
const key = await PrivateKey.generate();
writeFileSync(join(work, "release.key"), await key.sealed(new Secret("the password")));
writeFileSync(join(work, "release.pub"), key.publicKey.pem);
const env = { SIGSTORE_ID_TOKEN: instance.token(), XDG_CACHE_HOME: join(work, "remembered") };
const common = { environment: false, surroundings: { env, cwd: work, home: work } } as const;
const WHO = { certificateIdentity: [IDENTITY], certificateOidcIssuer: ISSUER, trustedRoot: "root.json" };

function policy(require: "signature" | "reject"): string {
  const rule = require === "reject" ? { require } : { require, signers: ["release"] };
  const signers = { release: { key: "release.pub" } };
  const caches = { [`oci-layout:${join(work, "cache")}`]: rule };
  writeFileSync(
    join(work, "trust.json"),
    JSON.stringify({ version: 1, default: { require: "none" }, caches, signers }),
  );
  return "trust.json";
}

test("the library signs with a key and without one, and verifies both", async () => {
  const before = await verify(CACHE, { ...common, key: ["release.pub"] });
  assert.equal(before.signed, 0);
  assert.equal(before.places[0]?.images[0]?.error?.code, "SIGNATURE_MISSING");
  const signed = await sign(CACHE, { ...common, key: "release.key", password: "the password" });
  assert.deepEqual([signed.key, signed.identity], [key.publicKey.fingerprint, undefined]);
  const instanceOf = { signingConfig: "config.json", trustedRoot: "root.json" };
  const again = await sign(CACHE, { ...common, keyless: true, ...instanceOf, all: true });
  assert.deepEqual([again.key, again.identity], [undefined, { issuer: ISSUER, name: IDENTITY }]);
  for (const named of [{ key: ["release.pub"] }, WHO]) {
    const { signed: good, unsigned } = await verify([CACHE, `${CACHE}:${HULL}`], {
      ...common,
      ...named,
      offline: true,
    });
    assert.deepEqual([good > 5, unsigned], [true, 0]);
  }
  const one = await verify(`${CACHE}:${HULL}`, { ...common, ...WHO });
  assert.equal(one.places[0]?.images[0]?.signature?.identity?.name, IDENTITY);
  assert.deepEqual((await verify(`${CACHE}:${HULL}`, { ...common, trust: policy("signature") })).unsigned, 0);
});

test("wrong options are refused by name", async () => {
  await assert.rejects(sign(CACHE, { ...common }), { code: "USAGE", message: /exactly one of `key` and `keyless`/ });
  await assert.rejects(sign(CACHE, { ...common, key: "release.key" }), { code: "CREDENTIALS_MISSING" });
  await assert.rejects(sign(CACHE, { ...common, key: "release.key", password: "no" }), { code: "USAGE" });
  await assert.rejects(verify(CACHE, { ...common, trust: false }), { code: "USAGE", message: /no signer was named/ });
  await assert.rejects(verify(CACHE, { ...common, certificateIdentity: [IDENTITY] }), { code: "USAGE" });
  await assert.rejects(sign(`file://${work}`, { ...common, keyless: true }), { code: "UNSUPPORTED" });
});

test("a cache that was opened with `create` is judged when it is read, and written all the same", async () => {
  const trust = policy("reject");
  const opened = await openCache(CACHE, { ...common, create: true, trust });
  try {
    await assert.rejects(opened.cache.fetchSpec(HULL), { code: "SIGNATURE_MISSING" });
    await assert.rejects(list(opened, { ...common, trust }), /SIGNATURE_MISSING|may not be used/);
    const into = { ...common, specs: ["/uwlohrq"], anyArchitecture: true, store: join(work, "store"), trust };
    const report = await install(opened, into).catch((error: { code: string }) => ({ failures: [error] }));
    assert.equal(report.failures[0]?.code, "SIGNATURE_MISSING");
    assert.ok((await updateIndex(opened, { ...common, check: true, trust })).specs > 0);
  } finally {
    await opened.close();
  }
});

test("a push of the library signs what it makes, with attestations, or refuses before anything is made", async () => {
  const { sysroot, store } = await goldenStore();
  const from = { ...common, sysroot, store: store.root, specs: ["rigging"], tags: ["app"], updateIndex: true };
  const byKey = { key: "release.key", password: "the password" };
  const made = await push("oci-layout:./pushed", { ...from, sign: byKey, sbom: "spdx" });
  assert.deepEqual([made.failures, made.signatures?.key], [[], key.publicKey.fingerprint]);
  assert.equal(made.attestations.length > 0, true);
  assert.equal((await verify("oci-layout:./pushed", { ...common, key: ["release.pub"], all: true })).unsigned, 0);
  await push("oci-layout:./unsigned", { ...from, tags: [] });
  await assert.rejects(push("oci-layout:./unsigned", { ...from, sign: byKey }), {
    code: "SIGNATURE_MISSING",
    message: /nothing was pushed/,
  });
  assert.ok(!readFileSync(join(work, "unsigned/index.json"), "utf8").includes('"app"'));
  const wrong: [Partial<PushOptions>, string][] = [
    [{ sign: {} }, "USAGE"],
    [{ sign: { ...byKey, keyless: true } }, "USAGE"],
    [{ sign: { ...byKey, password: "no" } }, "USAGE"],
    [{ sbom: "spdx" }, "USAGE"],
    [{ sign: byKey, provenance: true }, "USAGE"],
  ];
  for (const [more, code] of wrong) await assert.rejects(push("oci-layout:./never", { ...from, ...more }), { code });
  await assert.rejects(push(`file://${work}/mirror`, { ...from, tags: [], unsigned: true, sign: byKey }), {
    code: "UNSUPPORTED",
  });
  assert.deepEqual([existsSync(join(work, "never")), existsSync(join(work, "mirror"))], [false, false]);
});
