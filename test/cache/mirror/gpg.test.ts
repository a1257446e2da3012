// Signatures of mirrors: which ones count, and that nothing is installed without one where one is required.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { textOf } from "../../../lib/cache/mirror/clear-signed.ts";
import { GpgCheck } from "../../../lib/cache/mirror/gpg.ts";
import { blobIn } from "../../../lib/cache/mirror/mirror-manifest.ts";
import type { ErrorCode } from "../../../lib/errors.ts";
import { stave } from "../../support/cli.ts";
import { failsWith } from "../../support/errors.ts";
import { gpg, gpgHome, makeKey, noGpg } from "../../support/gpg.ts";
import { copiedMirror, goldenMirror, mirrorAt } from "../../support/mirrors.ts";
import { temporaryFolder } from "../../support/tree.ts";

const skip = { skip: noGpg };
const ZLIB = "zlib-ish-1.0-bq6hs5tg726utiqtvgzy5vcxpiqjnded.spack";
const fileOf = (folder: string, name: string): string => {
  const below = join(folder, "v3/manifests/spec", name);
  return join(below, readdirSync(below)[0] ?? "");
};
const checkOf = (home: string): GpgCheck => new GpgCheck({ home, env: process.env });

async function goldenKey(): Promise<string> {
  const folder = await goldenMirror(3);
  const keys = join(folder, "v3/manifests/key");
  const name = readdirSync(keys).find((file) => file.endsWith(".key.manifest.json")) ?? "";
  const blob = blobIn(readFileSync(join(keys, name), "utf8"), "key", name);
  const hex = blob?.digest.slice(7) ?? "";
  return readFileSync(join(folder, "blobs/sha256", hex.slice(0, 2), hex), "utf8");
}

test("Spack's own signatures count once their key is imported, and installing obeys signed: and -u", skip, async () => {
  const home = gpgHome();
  const mirror = await goldenMirror(3);
  const scope = temporaryFolder();
  writeFileSync(
    join(scope, "mirrors.yaml"),
    `mirrors:\n  checked: {url: "file://${mirror}"}\n  open: {url: "file://${mirror}", signed: false}\n`,
  );
  const stores: string[] = [];
  const install = (...args: string[]): ReturnType<typeof stave> => {
    const store = mkdtempSync("/tmp/m");
    stores.push(store);
    const env = { XDG_CACHE_HOME: temporaryFolder(), SPACK_ROOT: "", SPACK_GNUPGHOME: home };
    return stave(["install", ...args, "zlib-ish", "-o", "--store", store, "--no-env", "-C", scope], { env });
  };
  try {
    const before = await install("checked");
    assert.deepEqual(
      [before.status, /key that is not trusted here \[SIGNATURE_INVALID\]/.test(before.stderr)],
      [8, true],
    );
    gpg(home, ["--import"], await goldenKey());
    const done = await Promise.all([install("checked"), install("open"), install(`file://${mirror}`)]);
    for (const { status, stderr } of done) assert.equal(status, 0, stderr);
    gpg(home, ["--delete-keys", "1D04ACACFC855763C44E4386D049F4F59FCBE4DD"]);
    const open = await Promise.all([install("open"), install("checked", "-u")]);
    for (const { status, stderr } of open) assert.equal(status, 0, stderr);
  } finally {
    for (const store of stores) rmSync(store, { recursive: true, force: true });
  }
});

test("a validly signed manifest of another package is refused", skip, async () => {
  const home = gpgHome();
  gpg(home, ["--import"], await goldenKey());
  const folder = await copiedMirror(3);
  cpSync(fileOf(folder, "rigging"), fileOf(folder, "zlib-ish"));
  await failsWith(
    "SPEC_INVALID",
    mirrorAt(folder, { signatures: checkOf(home) }).fetchSpec(ZLIB),
    /another spec, rigging/,
  );
});

test("only whole, fresh signatures of valid keys count", skip, async () => {
  const home = gpgHome();
  const other = gpgHome();
  const folder = await goldenMirror(3);
  const text = textOf(readFileSync(fileOf(folder, "zlib-ish")), "x");
  const sign = (by: string, key: string, more: string[] = []): string =>
    gpg(by, [...more, "--local-user", key, "--digest-algo", "SHA512", "--clearsign"], text);
  const good = makeKey(home, "good@stave");
  const past = ["--faked-system-time", "20200101T000000"];
  const expired = makeKey(home, "expired@stave", "1y", past);
  const revoked = makeKey(home, "revoked@stave");
  const strange = makeKey(other, "strange@stave");
  const signed = {
    good: sign(home, good),
    expired: sign(home, expired, past),
    revoked: sign(home, revoked),
    strange: sign(other, strange),
    weak: gpg(home, ["--allow-weak-digest-algos", "--local-user", good, "--digest-algo", "SHA1", "--clearsign"], text),
  };
  const certificate = readFileSync(join(home, "openpgp-revocs.d", `${revoked}.rev`), "utf8").replace(
    ":-----BEGIN",
    "-----BEGIN",
  );
  gpg(home, ["--import"], certificate);
  const check = checkOf(home);
  const cases: { name: string; text: string; code?: ErrorCode; says?: RegExp }[] = [
    { name: "a good one", text: signed.good },
    { name: "with CRLF", text: signed.good.replaceAll("\n", "\r\n") },
    { name: "none", text, code: "SIGNATURE_MISSING", says: /is not signed/ },
    {
      name: "another text",
      text: signed.good.replace('"version":3', '"version":3 '),
      code: "SIGNATURE_INVALID",
      says: /does not match/,
    },
    { name: "an expired key", text: signed.expired, code: "SIGNATURE_INVALID", says: /expired/ },
    { name: "a revoked key", text: signed.revoked, code: "SIGNATURE_INVALID", says: /revoked/ },
    { name: "an unknown key", text: signed.strange, code: "SIGNATURE_INVALID", says: /not trusted here/ },
    { name: "SHA-1", text: signed.weak, code: "SIGNATURE_INVALID", says: /./ },
    { name: "text before it", text: `{}\n${signed.good}`, code: "SIGNATURE_MISSING", says: /is not signed/ },
    { name: "text after it", text: `${signed.good}{}`, code: "CONTENT_INVALID", says: /not one clear-signed/ },
    {
      name: "a second message",
      text: `${signed.good}${signed.good}`,
      code: "CONTENT_INVALID",
      says: /not one clear-signed/,
    },
    {
      name: "an unsigned header",
      text: signed.good.replace("Hash: SHA512", "Hash: SHA512\n{}"),
      code: "CONTENT_INVALID",
      says: /header/,
    },
    {
      name: "no signature",
      text: signed.good.replace(/-----BEGIN PGP SIGNATURE.*/s, ""),
      code: "CONTENT_INVALID",
      says: /./,
    },
  ];
  for (const { name, text: given, code, says } of cases) {
    const result = check.verify(Buffer.from(given), "the manifest", {});
    if (code === undefined) assert.equal((await result).trimEnd(), text.trimEnd(), name);
    else await failsWith(code, result, says);
  }
});

test("without gpg the error says what to do", async () => {
  const folder = await goldenMirror(3);
  const signatures = new GpgCheck({ home: undefined, env: { PATH: "/nowhere" } });
  const error = await failsWith(
    "HELPER_FAILED",
    mirrorAt(folder, { signatures }).fetchSpec(ZLIB),
    /gpg is not on the PATH/,
  );
  assert.match(error.hint ?? "", /-u/);
});
