// Proves what signing without a key asks of the services, that it believes none of their answers unchecked, and that no
// token gets into an error.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStaveError, type StaveError } from "../../../lib/errors.ts";
import { digestOf } from "../../../lib/oci/digest.ts";
import { parseBundle } from "../../../lib/sign/statement/bundle.ts";
import { statementBytes } from "../../../lib/sign/statement/statement.ts";
import { keylessSigner } from "../../support/keyless.ts";
import { IDENTITY, ISSUER, type Meddle, startSigstore } from "../../support/sigstore.ts";

const payload = statementBytes([{ digest: digestOf("x"), name: "app", dagHash: undefined }], {});
const json = (body: Buffer) => JSON.parse(body.toString());
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

for (const choice of [
  { rekor: 1, stamp: true },
  { rekor: 1, stamp: false },
  { rekor: 2, stamp: true },
] as const)
  test(`a log of version ${choice.rekor} ${choice.stamp ? "and" : "without"} a stamp: one request each, one certificate for all`, async () => {
    const instance = await startSigstore();
    const { signer, root, close } = keylessSigner(instance, choice);
    try {
      const checked = root.check(parseBundle(await signer.sign(payload), "x"), "x");
      assert.deepEqual([checked.name, checked.issuer, checked.repositoryId], [IDENTITY, ISSUER, "1234"]);
      assert.deepEqual(signer.by, { key: undefined, identity: { issuer: ISSUER, name: IDENTITY } });
      await signer.sign(payload);
      const paths = instance.requests.map(({ path }) => path);
      const count = (part: string): number => paths.filter((path) => path.includes(part)).length;
      assert.deepEqual([count("signingCert"), count("log/entries"), count("timestamp")], [1, 2, choice.stamp ? 2 : 0]);
      assert.equal(instance.entries.length, 2);
    } finally {
      await close();
      await instance.close();
    }
  });

const changed =
  (part: string, change: (value: ReturnType<typeof json>) => unknown): Meddle =>
  (path, body) => {
    if (!path.includes(part)) return undefined;
    const value = json(body);
    change(value);
    return { status: 201, body: bytes(value) };
  };
const status =
  (part: string, code: number, body = "{}"): Meddle =>
  (path) =>
    path.includes(part) ? { status: code, body: Buffer.from(body) } : undefined;

const failures: Record<string, { rekor?: 1 | 2; meddle: Meddle; code: string }> = {
  "an authority that refuses": { meddle: status("signingCert", 403), code: "CREDENTIALS_REJECTED" },
  "an authority that is down": { meddle: status("signingCert", 503), code: "REGISTRY_ERROR" },
  "an authority that sends no certificate": {
    meddle: changed("signingCert", (all) => (all.signedCertificateEmbeddedSct.chain.certificates = ["x"])),
    code: "CONTENT_INVALID",
  },
  "an authority that sends anything": { meddle: status("signingCert", 200, "hello"), code: "CONTENT_INVALID" },
  "an authority that never stops": {
    meddle: status("signingCert", 200, JSON.stringify("x".repeat(100_000))),
    code: "TOO_LARGE",
  },
  "an authority that points elsewhere": { meddle: status("signingCert", 307), code: "REGISTRY_ERROR" },
  "a log that never stops": { meddle: status("log/entries", 201, " ".repeat(2_000_000)), code: "TOO_LARGE" },
  "a log that sends two entries": {
    meddle: changed("log/entries", (all) => (all.ff = Object.values(all)[0])),
    code: "CONTENT_INVALID",
  },
  "a log that has the entry and does not say where": { meddle: status("log/entries", 409), code: "CONTENT_INVALID" },
  "an authority for stamps that never stops": {
    meddle: status("timestamp", 201, "x".repeat(100_000)),
    code: "TOO_LARGE",
  },
  "a log that refuses": { meddle: status("log/entries", 400), code: "CREDENTIALS_REJECTED" },
  "a log that promises for another time": {
    meddle: changed(
      "log/entries",
      (all) => ((Object.values(all)[0] as { integratedTime: number }).integratedTime += 1),
    ),
    code: "SIGNATURE_INVALID",
  },
  "a log of version 2 that sends no entry": {
    rekor: 2,
    meddle: status("log/entries", 201, "{}"),
    code: "CONTENT_INVALID",
  },
  "a log of version 2 that proves another entry": {
    rekor: 2,
    meddle: changed("log/entries", (all) => (all.canonicalizedBody = Buffer.from("{}").toString("base64"))),
    code: "SIGNATURE_INVALID",
  },
  "an authority for stamps that sends anything": {
    meddle: status("timestamp", 201, "hello"),
    code: "SIGNATURE_INVALID",
  },
};
for (const [what, { rekor = 1, meddle, code }] of Object.entries(failures))
  test(`${what} is an error, without the token`, async () => {
    const instance = await startSigstore();
    const token = instance.token({ nonce: Math.random() });
    const { signer, close } = keylessSigner(instance, { rekor }, token);
    instance.meddle = meddle;
    try {
      const error = await signer.sign(payload).then(
        () => assert.fail("it was signed"),
        (cause: unknown) => cause as StaveError,
      );
      assert.ok(isStaveError(error), String(error));
      assert.equal(error.code, code, error.message);
      const [, claims = "x"] = token.split(".");
      const everything = JSON.stringify([
        error.message,
        error.hint,
        String(error.cause),
        (error.cause as Error)?.message,
      ]);
      assert.ok(!everything.includes(claims), everything);
    } finally {
      await close();
      await instance.close();
    }
  });

for (const [what, code, wrap] of [
  ["as it is", 200, (body: string) => body],
  ["in a refusal", 400, (body: string) => JSON.stringify({ message: body })],
  ["in place of the certificate", 200, (body: string) => JSON.stringify({ signedCertificateEmbeddedSct: body })],
] as const)
  test(`an authority that sends the token back ${what} does not get it printed`, async () => {
    const instance = await startSigstore();
    const token = instance.token({ nonce: Math.random() });
    const { signer, close } = keylessSigner(instance, {}, token);
    instance.meddle = (path) =>
      path.includes("signingCert") ? { status: code, body: Buffer.from(wrap(token)) } : undefined;
    try {
      const error = await signer.sign(payload).then(
        () => assert.fail("it was signed"),
        (cause: unknown) => cause as StaveError,
      );
      const [, claims = "x"] = token.split(".");
      for (const text of [error.message, error.hint, (error.cause as Error)?.message])
        assert.ok(!text?.includes(claims.slice(0, 40)), text);
    } finally {
      await close();
      await instance.close();
    }
  });

test("an entry that a log of version 1 has already is read from it", async () => {
  const instance = await startSigstore();
  const { signer, root, close } = keylessSigner(instance, { rekor: 1 });
  let entry: Buffer | undefined;
  instance.meddle = (path, answer) => {
    if (!path.includes("log/entries")) return undefined;
    const [name] = Object.keys(json(entry ?? answer));
    if (path.endsWith(`/${name}`)) return { status: 200, body: entry ?? answer };
    entry = answer;
    return { status: 409, body: Buffer.from("{}"), headers: { location: `/api/v1/log/entries/${name}` } };
  };
  try {
    assert.equal(root.check(parseBundle(await signer.sign(payload), "x"), "x").name, IDENTITY);
  } finally {
    await close();
    await instance.close();
  }
});
