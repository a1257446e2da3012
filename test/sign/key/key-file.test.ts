// Proves that key files are made, encrypted, read and refused as documented, and that no password or key is shown.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { lstatSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Secret } from "../../../lib/printable/secret.ts";
import { readPrivateKey, readPublicKey, writeKeyPair } from "../../../lib/sign/key/key-file.ts";
import { PrivateKey } from "../../../lib/sign/key/private-key.ts";
import { PublicKey } from "../../../lib/sign/key/public-key.ts";
import { stave } from "../../support/cli.ts";
import { temporaryFolder } from "../../support/tree.ts";

const PASSWORD = "correct horse battery";
const password = (): Promise<Secret> => Promise.resolve(new Secret(PASSWORD));
const never = (): Promise<Secret> => Promise.reject(new Error("no password is needed"));
const BYTES = Buffer.from("what is signed");

const pem = (key: KeyObject, passphrase?: string): string =>
  String(
    key.export({ type: "pkcs8", format: "pem", ...(passphrase && { cipher: "aes-256-cbc", passphrase }) } as never),
  );
const p256 = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

test("a pair is read back, and its private key signs what its public key verifies", async () => {
  const folder = temporaryFolder();
  const [privateKey, publicKey] = [join(folder, "release.key"), join(folder, "release.pub")];
  const report = await writeKeyPair({ privateKey, publicKey, password: new Secret(PASSWORD) });
  const key = await readPrivateKey(privateKey, password);
  const other = await readPublicKey(publicKey);
  assert.equal(other.fingerprint, report.fingerprint);
  assert.equal(key.publicKey.fingerprint, report.fingerprint);
  assert.ok(other.verifies(BYTES, key.sign(BYTES)));
  assert.ok(!other.verifies(Buffer.from("something else"), key.sign(BYTES)));
  assert.equal(lstatSync(privateKey).mode & 0o777, 0o600);
  assert.match(
    readFileSync(privateKey, "utf8"),
    /^-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n(?:.{1,64}\n)+-----END/,
  );
  assert.ok(!JSON.stringify(key).includes("PRIVATE"));
});

test("a key that cosign made is read", async () => {
  const folder = join(import.meta.dirname, "../../../testdata/sign");
  const key = await readPrivateKey(join(folder, "cosign.key"), () => Promise.resolve(new Secret("pw")));
  assert.ok((await readPublicKey(join(folder, "cosign.pub"))).verifies(BYTES, key.sign(BYTES)));
});

test("each form of a private key is read", async () => {
  const forms: { text: string; ask: typeof password }[] = [
    { text: pem(p256.privateKey), ask: never },
    { text: pem(p256.privateKey, PASSWORD), ask: password },
    { text: pem(rsa.privateKey), ask: never },
    { text: await (await PrivateKey.generate()).sealed(new Secret(PASSWORD)), ask: password },
  ];
  forms.push({
    text: (forms[3]?.text ?? "").replaceAll("ENCRYPTED SIGSTORE", "ENCRYPTED COSIGN"),
    ask: password,
  });
  for (const { text, ask } of forms) {
    const key = await PrivateKey.open(text, "x.key", ask);
    assert.ok(key.publicKey.verifies(BYTES, key.sign(BYTES)));
  }
});

test("a password of another alphabet, and an empty one, open their keys", async () => {
  for (const text of ["пароль", ""]) {
    const sealed = await (await PrivateKey.generate()).sealed(new Secret(text));
    await PrivateKey.open(sealed, "x.key", () => Promise.resolve(new Secret(text)));
  }
});

const sealed = await (await PrivateKey.generate()).sealed(new Secret(PASSWORD));
/** The sealed key with another JSON inside. */
const resealed = (change: (value: Record<string, Record<string, unknown>>) => void): string => {
  const body = sealed.split("\n").slice(1, -2).join("");
  const value = JSON.parse(Buffer.from(body, "base64").toString());
  change(value);
  const changed = Buffer.from(JSON.stringify(value)).toString("base64");
  return `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${changed}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
};
const params = (name: string, value: number): string =>
  resealed(({ kdf }) => {
    if (kdf) (kdf["params"] as Record<string, number>)[name] = value;
  });

const refused: { what: string; text: string; code: string; says: RegExp; given?: string }[] = [
  { what: "a wrong password", text: sealed, given: "wrong", code: "USAGE", says: /the password does not open x\.key/ },
  {
    what: "a wrong password of PKCS#8",
    text: pem(p256.privateKey, PASSWORD),
    given: "wrong",
    code: "USAGE",
    says: /the password does not open x\.key/,
  },
  { what: "a cost that takes all memory", text: params("N", 2 ** 30), code: "CONFIG_INVALID", says: /not a key that/ },
  { what: "a cost that is no power of 2", text: params("N", 65_535), code: "CONFIG_INVALID", says: /not usable/ },
  { what: "a cost r of a thousand", text: params("r", 1000), code: "CONFIG_INVALID", says: /not a key that/ },
  { what: "a cost p of a thousand", text: params("p", 1000), code: "CONFIG_INVALID", says: /not a key that/ },
  {
    what: "another cipher",
    text: resealed(({ cipher }) => Object.assign(cipher ?? {}, { name: "none" })),
    code: "CONFIG_INVALID",
    says: /not a key that cosign/,
  },
  {
    what: "changed ciphertext",
    text: resealed((all) => Object.assign(all, { ciphertext: Buffer.alloc(200).toString("base64") })),
    code: "USAGE",
    says: /does not open/,
  },
  { what: "no PEM", text: "hello", code: "CONFIG_INVALID", says: /no private key in PEM form/ },
  {
    what: "a public key",
    text: String(p256.publicKey.export({ type: "spki", format: "pem" })),
    code: "USAGE",
    says: /is a public key/,
  },
  {
    what: "the older form of an EC key",
    text: String(p256.privateKey.export({ type: "sec1", format: "pem" })),
    code: "CONFIG_INVALID",
    says: /PEM file of type EC PRIVATE KEY/,
  },
  {
    what: "Ed25519",
    text: pem(generateKeyPairSync("ed25519").privateKey),
    code: "USAGE",
    says: /Ed25519 key, which is not supported: cosign/,
  },
  {
    what: "P-384",
    text: pem(generateKeyPairSync("ec", { namedCurve: "secp384r1" }).privateKey),
    code: "USAGE",
    says: /on secp384r1, expected P-256/,
  },
  {
    what: "RSA 1024",
    text: pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey),
    code: "USAGE",
    says: /RSA key of 1024 bits, expected 2048/,
  },
  {
    what: "RSA-PSS",
    text: pem(generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey),
    code: "USAGE",
    says: /type rsa-pss/,
  },
];
for (const { what, text, code, says, given = PASSWORD } of refused)
  test(`refused: ${what}`, async () => {
    const open = PrivateKey.open(text, "x.key", () => Promise.resolve(new Secret(given)));
    await assert.rejects(open, (error: Error & { code?: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, says);
      assert.ok(!JSON.stringify(error).includes(PASSWORD) && !JSON.stringify(error).includes("MIG"));
      return true;
    });
  });

test("refused as a public key: private keys, certificates, text before or after", () => {
  const good = String(p256.publicKey.export({ type: "spki", format: "pem" }));
  assert.equal(PublicKey.parse(good, "x.pub").kind, "ECDSA P-256");
  for (const text of [pem(p256.privateKey), "", `x${good}`, `${good}x`, good + good, good.replace("M", "N")])
    assert.throws(() => PublicKey.parse(text, "x.pub"), { code: "CONFIG_INVALID" });
  for (const { publicKey } of [generateKeyPairSync("ed25519"), generateKeyPairSync("x25519")])
    assert.throws(() => PublicKey.of(publicKey, "x.pub"), { code: "USAGE" });
});

test("stave keygen never overwrites a key, not even through a link, and removes half a pair", async () => {
  const cwd = temporaryFolder();
  const env = { COSIGN_PASSWORD: PASSWORD };
  const made = await stave(["keygen", "mine", "--json"], { cwd, env });
  assert.equal(made.status, 0, made.stderr);
  const before = readFileSync(join(cwd, "mine.key"), "utf8");
  const again = await stave(["keygen", "mine"], { cwd, env });
  assert.equal(again.status, 2);
  assert.match(again.stderr, /mine\.key exists, and keys are never overwritten \[USAGE\]/);
  assert.equal(readFileSync(join(cwd, "mine.key"), "utf8"), before);
  symlinkSync("elsewhere", join(cwd, "link.key"));
  assert.equal((await stave(["keygen", "link"], { cwd, env })).status, 2);
  writeFileSync(join(cwd, "half.pub"), "mine");
  assert.equal((await stave(["keygen", "half"], { cwd, env })).status, 2);
  assert.equal(lstatSync(join(cwd, "half.key"), { throwIfNoEntry: false }), undefined);
  for (const { stdout, stderr } of [made, again]) assert.ok(!(stdout + stderr).includes(PASSWORD));
});

test("stave keygen takes the password from a file descriptor, and says where it could come from", async () => {
  const cwd = temporaryFolder();
  writeFileSync(join(cwd, "password"), `${PASSWORD}\n`);
  const { status, stderr } = await stave(["keygen", "fd", "--password-fd", "0"], { cwd, input: `${PASSWORD}\n` });
  assert.equal(status, 0, stderr);
  await readPrivateKey(join(cwd, "fd.key"), password);
  const none = await stave(["keygen", "none"], { cwd });
  assert.equal(none.status, 2);
  assert.match(
    none.stderr,
    /no terminal to ask for the password of none\.key[\s\S]*COSIGN_PASSWORD[\s\S]*--password-fd/,
  );
  const closed = await stave(["keygen", "none", "--password-fd", "77"], { cwd });
  assert.equal(closed.status, 10, closed.stderr);
  const empty = await stave(["keygen", "empty"], { cwd, env: { COSIGN_PASSWORD: "" } });
  assert.equal(empty.status, 0);
  assert.match(empty.stderr, /empty password: anyone can open it/);
});
