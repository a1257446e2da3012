// Proves that the state of trust changes with everything that decides, and with nothing else.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TrustOptions } from "../../lib/api/signers/trust.ts";
import { trustState } from "../../lib/api/signers/trust-state.ts";
import { systemClock } from "../../lib/util/time.ts";

const work = mkdtempSync(join(tmpdir(), "stave-trust-state-"));
after(() => rmSync(work, { recursive: true }));
mkdirSync(join(work, "a"));
mkdirSync(join(work, "b"));

/** The state, as text, at a time. */
async function at(options: TrustOptions, now = 0, cwd = join(work, "a")): Promise<string> {
  const around = { env: {}, cwd, home: work, clock: { ...systemClock, now: () => now } };
  return JSON.stringify(await trustState(around, options));
}

const key = { signedBy: { key: ["k.pub"] } };
const identity = { certificateIdentity: ["me"], certificateOidcIssuer: "https://issuer.example" };
const rooted = { signedBy: { ...identity, trustedRoot: "root.json" } };
const named = { trust: "../trust.json" };
const policy = {
  version: 1,
  default: { require: "signature", signers: ["one"] },
  signers: {
    one: { key: "a/policy.pub", notAfter: "2030-01-01T00:00:00Z" },
    two: { gpg: ["0".repeat(40)], keyring: "a/site.asc" },
  },
  roots: { file: { file: "a/file.json" }, tuf: { tuf: "https://tuf.example", root: "a/first.json" } },
};
writeFileSync(join(work, "trust.json"), JSON.stringify(policy));

const FILES = [
  { what: "a key of the user", file: "k.pub", options: key },
  { what: "a trusted root of the user", file: "root.json", options: rooted },
  { what: "a key of the policy", file: "policy.pub", options: named },
  { what: "a keyring of the policy", file: "site.asc", options: named },
  { what: "a root of the policy", file: "file.json", options: named },
  { what: "the first root of a repository", file: "first.json", options: named },
];
for (const { what, file, options } of FILES)
  test(`${what} counts by its content, and may be absent`, async () => {
    const absent = await at(options);
    writeFileSync(join(work, "a", file), "1");
    const first = await at(options);
    writeFileSync(join(work, "a", file), "2");
    const second = await at(options);
    assert.equal(new Set([absent, first, second]).size, 3);
    writeFileSync(join(work, "a", file), "1");
    assert.equal(await at(options), first);
  });

test("a relative path is another file in another folder", async () => {
  assert.notEqual(await at(key), await at(key, 0, join(work, "b")));
});

test("the state changes when the time of a signer is over, and only then", async () => {
  const end = Date.parse("2030-01-01T00:00:00Z");
  assert.equal(await at(named, end - 1000), await at(named, end));
  assert.notEqual(await at(named, end), await at(named, end + 1));
});

test("what refuses nothing is not strict", async () => {
  const file = join(work, "other.json");
  const strict = async (document: object): Promise<boolean> => {
    writeFileSync(file, JSON.stringify({ version: 1, ...document }));
    return (JSON.parse(await at({ trust: file })) as { isStrict: boolean }).isStrict;
  };
  const none = { require: "none" };
  assert.equal(await strict({ default: none }), false);
  assert.equal(await strict({ default: none, revoked: { digests: [`sha256:${"0".repeat(64)}`] } }), true);
  assert.equal(await strict({ default: none, caches: { "oci://ghcr.io/org": { require: "reject" } } }), true);
  assert.equal(JSON.parse(await at({})).isStrict, false);
  assert.equal(JSON.parse(await at(key)).isStrict, true);
  assert.equal(JSON.parse(await at({ ...named, insecureNoSignatureCheck: true })).isStrict, false);
});
