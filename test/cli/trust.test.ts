// Proves that a trust policy is enforced wherever content of a cache is used, before anything of it is unpacked, and
// that `stave trust` shows, changes and explains it.
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkRun, imageIndex, install, rebase } from "../../lib/index.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";

// A short path: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const env = { COSIGN_PASSWORD: "pw", HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };
const HULL = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";
const registry: TestRegistry = await startRegistry();
after(() => registry.close());
const REPO = `${registry.host}/org/cache`;
const CACHE = `oci+http://${REPO}`;
const POLICY = join(work, ".config/stave/trust.json");

async function run(args: string[], more: Record<string, string> = {}) {
  return await stave(args, { cwd: work, env: { ...env, ...more } });
}
async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(args);
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}
async function refused(args: string[], says: RegExp, status = 8): Promise<void> {
  const ran = await run(args);
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  assert.match(ran.stdout + ran.stderr, says);
}
const INSTALL = (name: string): string[] => [CACHE, "hull", "--otherarch", "--no-env", "--store", join(work, name)];
const isInstalled = (name: string): boolean => existsSync(join(work, name, "linux-x86_64"));
function policy(rule: object, more: object = {}): void {
  mkdirSync(join(work, ".config/stave"), { recursive: true });
  const signers = { release: { key: "../../release.pub" }, ...more };
  const document = {
    version: 1,
    default: { require: "none" },
    caches: { [`oci://${registry.host}/org`]: rule },
    signers,
  };
  writeFileSync(POLICY, JSON.stringify(document));
}
const SIGNED = { require: "signature", signers: ["release"] };

for (const name of ["release", "other"]) {
  const key = await PrivateKey.generate();
  writeFileSync(join(work, `${name}.key`), await key.sealed(new Secret("pw")));
  writeFileSync(join(work, `${name}.pub`), key.publicKey.pem);
}
await ok("copy", "--all-tags", `oci-layout:${golden("spack-1.2/plain.oci")}`, REPO);

test("without a policy nothing is asked about signatures", async () => {
  registry.requests.length = 0;
  await ok("install", ...INSTALL("free"));
  assert.ok(isInstalled("free"));
  assert.equal(registry.count("GET", /referrers|sha256-/), 0);
});

test("an unsigned spec is not installed, downloaded or listed as usable, and nothing of it is fetched", async () => {
  policy(SIGNED);
  registry.requests.length = 0;
  await refused(
    ["install", ...INSTALL("none")],
    /has no signature, expected one by release \(key [0-9a-f]{12}\) \(required by .*trust\.json\)/,
  );
  assert.ok(!isInstalled("none"));
  assert.equal(registry.count("GET", /blobs/), 0, "the index is remembered, and nothing else is read");
  await refused(["download", "/uwlohrq", "-p", "./down", "-m", CACHE, "--no-env"], /has no signature/);
  assert.ok(!existsSync(join(work, "down")) || readdirSync(join(work, "down")).length === 0);
  const check = await run(["check", "--all", "--deep", "-m", CACHE, "--no-env"]);
  assert.notEqual(check.status, 0);
  assert.match(check.stdout + check.stderr, /has no signature/);
});

test("a signature by another key is refused by name, and a library call is held to the same policy", async () => {
  await ok("sign", CACHE, "--key", "other.key", "--all");
  await refused(["install", ...INSTALL("none")], /the nearest is by key [0-9a-f]{12}.*\[IDENTITY_MISMATCH\]/);
  const report = await install(CACHE, {
    ...{ specs: ["/uwlohrq"], anyArchitecture: true, environment: false, store: join(work, "none") },
    surroundings: { env, home: work, cwd: work },
  }).catch((error: { code: string }) => error);
  assert.match(JSON.stringify(report), /IDENTITY_MISMATCH/);
  assert.ok(!isInstalled("none"));
});

test("a signed cache is installed; every spec was judged and the statement read once", async () => {
  await ok("sign", CACHE, "--key", "release.key", "--all");
  registry.requests.length = 0;
  await ok("install", ...INSTALL("sig"));
  assert.ok(isInstalled("sig"));
  const bundles = registry.requests.filter(({ method, path }) => method === "GET" && /blobs/.test(path));
  assert.equal(new Set(bundles.map(({ path }) => path)).size, bundles.length, "no blob is fetched twice");
  // What one image has attached is good for all that the statement names; those asked for at once ask each.
  const asked = registry.count("GET", /referrers/);
  assert.ok(asked >= 1 && asked <= 3, `${asked} lists of signatures`);
  // The statement is remembered by its digest; what it is worth is judged anew each time.
  const { report } = JSON.parse(await ok("verify", CACHE, "--key", "release.pub", "--json"));
  const statement: string = report.places[0].images[0].signature.bundle;
  const read = (): number => registry.requests.filter(({ path }) => path.includes(`/blobs/${statement}`)).length;
  assert.equal(read(), 1);
  registry.requests.length = 0;
  await ok("install", ...INSTALL("sig2"));
  assert.equal(read(), 0);
  writeFileSync(
    POLICY,
    JSON.stringify({ ...JSON.parse(readFileSync(POLICY, "utf8")), revoked: { statements: [statement] } }),
  );
  await refused(["install", ...INSTALL("revoked")], /REVOKED/);
  policy(SIGNED);
});

test("the policy can be switched off only in so many words, which is told", async () => {
  policy({ require: "reject" });
  await refused(["install", ...INSTALL("off")], /may not be used: .*trust\.json rejects oci:\/\//);
  await refused(["install", ...INSTALL("off"), "--unsigned"], /may not be used/);
  const ran = await run(["install", ...INSTALL("off"), "--insecure-no-signature-check"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /warning: signatures are not checked, although .*trust\.json may require them/);
});

test("--key requires a signature without a policy, and beside it", async () => {
  const none = { XDG_CONFIG_HOME: "/nonexistent" };
  const third = (await PrivateKey.generate()).publicKey.pem;
  writeFileSync(join(work, "third.pub"), third);
  const wrong = await run(["install", ...INSTALL("keyed"), "--key", "third.pub"], none);
  assert.equal(wrong.status, 8, wrong.stderr);
  assert.match(wrong.stderr, /IDENTITY_MISMATCH/);
  assert.ok(!isInstalled("keyed"));
  const down = await run(["download", "/uwlohrq", "-p", "./d", "-m", CACHE, "--no-env", "--key", "third.pub"], none);
  assert.match(down.stdout + down.stderr, /IDENTITY_MISMATCH/);
  const good = await run(["install", ...INSTALL("keyed"), "--key", "third.pub", "--key", "release.pub"], none);
  assert.equal(good.status, 0, good.stderr);
  policy(SIGNED);
  await refused(["install", ...INSTALL("both"), "--key", "third.pub"], /required by the named signer/);
  policy({ require: "reject" });
  await refused(["install", ...INSTALL("both"), "--key", "release.pub"], /may not be used/);
  const off = ["--insecure-no-signature-check", "--key", "third.pub"];
  await refused(["install", ...INSTALL("both"), ...off], /required by the named signer/);
});

test("a policy that is wrong, unreadable or gone where it was named stops everything", async () => {
  writeFileSync(POLICY, '{"version":1,"default":{"require":"none"},"rules":{}}');
  await refused(
    ["install", ...INSTALL("wrong")],
    /trust\.json is invalid at the top level: .*rules.*\[CONFIG_INVALID\]/,
    2,
  );
  writeFileSync(POLICY, "");
  await refused(["list", CACHE, "--no-env"], /CONFIG_INVALID/, 2);
  policy(SIGNED);
  await refused(["list", CACHE, "--no-env", "--trust", "gone.json"], /there is no trust policy .*gone\.json/, 5);
  const named = await run(["list", CACHE, "--no-env"], { STAVE_TRUST: "gone.json" });
  assert.equal(named.status, 5);
  assert.match(named.stderr, /unset STAVE_TRUST/);
});

test("a spec under another's tag, and an image that moved, are refused though their digests are signed", async () => {
  policy(SIGNED);
  const zlib = "zlib-ish-1.0-bq6hs5tg726utiqtvgzy5vcxpiqjnded.spack";
  await ok("copy", `${REPO}:${zlib}`, `${REPO}:${HULL}`);
  await refused(["install", ...INSTALL("moved")], /it is for the tag zlib-ish-1\.0.*not for hull-1\.10\.1/);
  await ok("copy", `oci-layout:${golden("spack-1.2/plain.oci")}:${HULL}`, `${REPO}:${HULL}`);
  await ok("install", ...INSTALL("moved"));
});

test("a layout directory is found by its real path", async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "layouts/one"), { recursive: true });
  symlinkSync("layouts/one", join(work, "link"));
  writeFileSync(
    join(work, "layouts.json"),
    JSON.stringify({
      version: 1,
      default: { require: "none" },
      caches: { [`oci-layout:${join(work, "layouts")}`]: SIGNED },
      signers: { release: { key: "release.pub" } },
    }),
  );
  const args = ["hull", "--otherarch", "--no-env", "--store", join(work, "l"), "--trust", "layouts.json"];
  await refused(["install", "./link", ...args], /has no signature/);
  await ok("sign", "./link", "--key", "release.key");
  await ok("install", "./link", ...args);
});

test("a mirror cannot have signatures of images, so a place that needs them has no use for it", async () => {
  mkdirSync(join(work, "mirror/v3"), { recursive: true });
  const caches = { [`file://${work}`]: SIGNED };
  writeFileSync(
    join(work, "mirrors.json"),
    JSON.stringify({ version: 1, default: { require: "none" }, caches, signers: { release: { key: "release.pub" } } }),
  );
  await refused(
    ["list", `file://${join(work, "mirror")}`, "--no-env", "--trust", "mirrors.json"],
    /requires signatures of images/,
  );
});

test("a signed index is required where the policy says so; a later one that is not signed is refused", async () => {
  policy({ ...SIGNED, index: "signed", indexMaxAge: "30d" });
  await ok("list", CACHE, "-a", "--no-env");
  await ok("index", CACHE, "--full", "--no-env");
  await ok("copy", `oci-layout:${golden("spack-0.23/plain.oci")}:index.spack`, `${REPO}:index.spack`);
  await refused(["list", CACHE, "-a", "--no-env"], /index\.spack has no signature/);
  await ok("sign", CACHE, "--key", "release.key");
  await ok("list", CACHE, "-a", "--no-env");
  await ok("copy", `oci-layout:${golden("spack-1.2/plain.oci")}:index.spack`, `${REPO}:index.spack`);
  await refused(["list", CACHE, "-a", "--no-env"], /generation \d+, but \d+ was seen before .*INDEX_OUTDATED/);
  const explained = ["trust", "explain", `${REPO}:index.spack`];
  await refused(explained, /refused: .*generation \d+, but \d+ was seen before[\s\S]*hint: ask who keeps the cache/, 1);
});

test("copy --verify, push --base-image, rebase, check-run --base and image-index use only images that the policy lets pass", async () => {
  policy(SIGNED, { other: { key: "../../other.pub" } });
  await ok("copy", "--verify", `${REPO}:fleet-env`, "oci-layout:./verified:app");
  policy({ ...SIGNED, signers: ["x"] }, { x: { key: "../../third.pub" } });
  writeFileSync(join(work, "third.pub"), (await PrivateKey.generate()).publicKey.pem);
  await refused(["copy", "--verify", `${REPO}:fleet-env`, "oci-layout:./no:app"], /IDENTITY_MISMATCH/);
  await ok("copy", `${REPO}:fleet-env`, "oci-layout:./unverified:app");
  await refused(["copy", "--verify", "--all-tags", REPO, "oci-layout:./no"], /all tags cannot be verified/, 2);
  const store = ["--store", join(work, "sig"), "--no-env"];
  await refused(["push", "./based", "hull", "--base-image", `${REPO}:fleet-env`, ...store], /IDENTITY_MISMATCH/);
  assert.ok(!existsSync(join(work, "based")));
  await ok("copy", `oci-layout:./unverified:app`, "oci-layout:./mine:app");
  const [app, base] = ["oci-layout:./mine:app", `${REPO}:fleet-env`];
  for (const args of [
    ["rebase", app, "--onto", base, "--tag", "next"],
    ["rebase", "oci-layout:./mine", "--onto", base, "--outdated"],
    ["rebase", app, "--onto", app, "--from", base, "--tag", "next"],
    ["check-run", app, "--base", base],
    ["image-index", "oci-layout:./mine:all", base],
  ])
    await refused(args, /IDENTITY_MISMATCH/);
  const options = { surroundings: { env, home: work, cwd: work } };
  for (const use of [
    () => rebase(app, base, options),
    () => rebase(app, app, { ...options, from: base }),
    () => checkRun(app, { ...options, bases: [base] }),
    () => imageIndex("oci-layout:./mine:all", [base], options),
  ])
    await assert.rejects(use(), { code: "IDENTITY_MISMATCH" });
  await ok("image-index", "oci-layout:./mine:all", base, "--insecure-no-signature-check");
  await ok("image-index", "oci-layout:./mine:all", app);
  const none = await run(["copy", "--verify", `${REPO}:fleet-env`, "oci-layout:./no:app"], {
    XDG_CONFIG_HOME: "/nonexistent",
  });
  assert.match(none.stderr, /there is no trust policy to verify the image by/);
});

test("stave trust adds, shows, explains and removes rules", async () => {
  const mine = ["--trust", "mine.json"];
  const place = `oci://${registry.host}/org`;
  await ok("trust", "add", place, "--key", "release.pub", "--index", ...mine);
  await ok("trust", "add", place, "--key", "other.pub", ...mine);
  assert.match(
    await ok("trust", "show", ...mine),
    /a signature by release \(key \w+\) or other \(key \w+\); the index must be signed\n.*everything that has no rule: no signature/,
  );
  assert.match(await ok("trust", "show", CACHE, ...mine), /oci:\/\/127.*: a signature by release/);
  const { report } = JSON.parse(await ok("trust", "explain", `${REPO}:fleet-env`, ...mine, "--json"));
  assert.ok(["release", "other"].includes(report.signature.signer));
  assert.match(await ok("trust", "explain", `${REPO}:fleet-env`, ...mine), /accepted: signed by/);
  await refused(["trust", "add", place, "--key", "release.key", ...mine], /is not a public key/, 2);
  assert.match(
    await ok("trust", "add", "ghcr.io/org", "--key", "release.pub", ...mine),
    /oci:\/\/ghcr\.io\/org: signatures/,
  );
  await ok("trust", "remove", "ghcr.io/org", ...mine);
  await refused(["trust", "add", place, ...mine], /add needs the key/, 2);
  await refused(
    ["trust", "add", place, "--key", "third.pub", "--name", "release", ...mine],
    /already has a signer release/,
    2,
  );
  await ok("trust", "remove", place, ...mine);
  await refused(["trust", "remove", place, ...mine], /has no rule for/, 5);
  assert.match(await ok("trust", "explain", `${REPO}:fleet-env`, ...mine), /accepted: no signature is required/);
  policy({ require: "reject" });
  await refused(["trust", "explain", `${REPO}:fleet-env`], /refused: .*rejects[\s\S]*hint: `stave trust show`/, 1);
  assert.match(await ok("trust", "show", "--json"), /"require": ?"reject"/);
});
