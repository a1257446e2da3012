// Proves that a policy's gpg signers decide what is taken from a mirror, whatever gpg's own folder and the mirror's
// configuration say.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { blobIn } from "../../lib/cache/mirror/mirror-manifest.ts";
import { stave } from "../support/cli.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../support/gpg.ts";
import { goldenMirror } from "../support/mirrors.ts";

const FINGERPRINT = "1D04ACACFC855763C44E4386D049F4F59FCBE4DD";
// A short path: the binaries of the mirror are not padded.
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));

async function mirrorKey(mirror: string): Promise<string> {
  const keys = join(mirror, "v3/manifests/key");
  const name = `${FINGERPRINT}.key.manifest.json`;
  const hex = blobIn(readFileSync(join(keys, name), "utf8"), "key", name)?.digest.slice(7) ?? "";
  return readFileSync(join(mirror, "blobs/sha256", hex.slice(0, 2), hex), "utf8");
}

test("a mirror is held to the keys of the policy", { skip: noGpg }, async () => {
  const mirror = await goldenMirror(3);
  const [empty, full] = [gpgHome(), gpgHome()];
  writeFileSync(join(work, "site.asc"), await mirrorKey(mirror));
  gpg(full, ["--import"], await mirrorKey(mirror));
  const other = makeKey(full, "other@example.org");
  writeFileSync(join(work, "other.asc"), gpg(full, ["--armor", "--export", other]));
  writeFileSync(join(work, "mirrors.yaml"), `mirrors:\n  open: {url: "file://${mirror}", signed: false}\n`);
  let stores = 0;
  const cases: { name: string; home: string; signer: object; status: number; says?: RegExp; more?: string[] }[] = [
    {
      name: "a keyring needs no gpg folder",
      home: empty,
      signer: { gpg: [FINGERPRINT], keyring: "site.asc" },
      status: 0,
    },
    { name: "keys of gpg's own folder", home: full, signer: { gpg: [FINGERPRINT] }, status: 0 },
    {
      ...{ name: "another key of gpg's own folder", home: full, signer: { gpg: [other] } },
      ...{ status: 8, says: new RegExp(`signed by the key ${FINGERPRINT} \\[IDENTITY_MISMATCH\\]`) },
    },
    {
      ...{ name: "a keyring without the key, which gpg's own folder has", home: full },
      ...{ signer: { gpg: [FINGERPRINT], keyring: "other.asc" }, status: 8, says: /key that is not trusted here/ },
    },
    {
      ...{ name: "-u, which does not switch the policy off", home: full, signer: { gpg: [other] }, more: ["-u"] },
      ...{ status: 8, says: /IDENTITY_MISMATCH/ },
    },
    {
      ...{ name: "a keyring that is none", home: full, signer: { gpg: [FINGERPRINT], keyring: "mirrors.yaml" } },
      ...{ status: 3, says: /could not import the keys of the trust policy/ },
    },
  ];
  for (const { name, home, signer, status, says, more = [] } of cases) {
    const store = join(work, `s${stores++}`);
    const caches = { [`file://${mirror}`]: { require: "gpg", signers: ["site"] } };
    const policy = { version: 1, default: { require: "none" }, caches, signers: { site: signer } };
    writeFileSync(join(work, "trust.json"), JSON.stringify(policy));
    const env = { XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "", SPACK_GNUPGHOME: home, TMPDIR: work };
    const args = ["install", "open", "zlib-ish", "-o", "--store", store, "--no-env", "-C", work, ...more];
    const ran = await stave([...args, "--trust", "trust.json"], { env, cwd: work });
    assert.equal(ran.status, status, `${name}: ${ran.stdout}${ran.stderr}`);
    assert.match(ran.stderr, says ?? /^/, name);
    assert.equal(existsSync(join(store, "linux-x86_64")), status === 0, name);
    assert.deepEqual(
      readdirSync(work).filter((one) => one.startsWith("stave-gpg-")),
      [],
      "the keys are removed",
    );
  }
  const shown = await stave(["trust", "show", "--trust", "trust.json"], { cwd: work });
  assert.match(shown.stdout, new RegExp(`a gpg signature by site \\(${FINGERPRINT}\\)`));
});

test("gpg rules are for mirrors, and name signers of mirrors", async () => {
  const site = { gpg: [FINGERPRINT] };
  const cases: { rule: object; signers: object; says: RegExp }[] = [
    { rule: { require: "gpg" }, signers: { site }, says: /names no signers/ },
    { rule: { require: "signature", signers: ["site"] }, signers: { site }, says: /site, which signs mirrors/ },
    { rule: { require: "gpg", signers: ["key"] }, signers: { key: { key: "x.pub" } }, says: /key, which signs images/ },
    { rule: { require: "gpg", signers: ["site"], index: "signed" }, signers: { site }, says: /has index/ },
    {
      rule: { require: "gpg", signers: ["site"] },
      signers: { site: { gpg: ["abc"] } },
      says: /invalid at signers\.site/,
    },
  ];
  for (const { rule, signers, says } of cases) {
    writeFileSync(join(work, "bad.json"), JSON.stringify({ version: 1, default: rule, signers }));
    const { status, stderr } = await stave(["trust", "show", "--trust", "bad.json"], { cwd: work });
    assert.equal(status, 2);
    assert.match(stderr, says);
  }
});
