// Proves signing and verifying from the command line: push --sign, sign, verify; what is printed, and what never is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { startStave, stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { goldenStore } from "../support/push.ts";
import { temporaryFolder } from "../support/tree.ts";

const { sysroot } = await goldenStore();
const PASSWORD = "a password that nothing prints";
const work = temporaryFolder();
const env = { COSIGN_PASSWORD: PASSWORD, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };
const IN_STORE = ["--sysroot", sysroot, "--store", "/opt/harbor/store", "--no-env"];
const outputs: string[] = [];
async function run(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const ran = await stave(args, { cwd: work, env });
  outputs.push(ran.stdout, ran.stderr);
  return ran;
}
async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(...args);
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

test("a push signs its specs, its image and its index at once; a second one changes nothing", async () => {
  await ok("keygen", "mine");
  const args = ["push", "./cache", "fleet", "--tag", "app", "--update-index", "--sign", "mine.key", ...IN_STORE];
  const first = JSON.parse(await ok(...args, "--json")).report;
  assert.equal(first.signatures.signatures, 1);
  const references = first.signatures.images.map(({ reference }: { reference: string }) => reference);
  assert.equal(references.length, first.specs.length + 2);
  assert.ok(references.includes("app") && references.includes("index.spack"));
  assert.match(await ok("verify", "./cache", "--key", "mine.pub", "--all"), /: (\d+) of \1 images signed/);
  const before = readFileSync(join(work, "cache/index.json"), "utf8");
  const second = JSON.parse(await ok(...args, "--json")).report;
  assert.equal(second.signatures.signatures, 0);
  assert.equal(readFileSync(join(work, "cache/index.json"), "utf8"), before);
  assert.match(await ok(...args), /0 images signed with key [0-9a-f]{12}, \d+ signed before/);
});

test("a push vouches only for what it made: unsigned images that were there before stop it from signing any", async () => {
  await ok("push", "./late", "hull", ...IN_STORE);
  const ran = await run("push", "./late", "hull", "--tag", "app", "--sign", "mine.key", ...IN_STORE);
  assert.equal(ran.status, 8);
  assert.match(
    ran.stderr,
    /nothing was pushed, because it could not be signed: \S+\.spack and \d more were in \S+late before and are not/,
  );
  assert.ok(!(await ok("tags", "oci-layout:./late")).split("\n").includes("app"), "no tag names what was refused");
  assert.match(ran.stderr, /--force/);
  assert.equal((await run("verify", "./late", "--key", "mine.pub", "--all")).status, 1);
  await ok("push", "./late", "hull", "--tag", "app", "--force", "--sign", "mine.key", ...IN_STORE);
  await ok("verify", "./late", "--key", "mine.pub");
  // The image of the tag was there before, unsigned, and is the same.
  await ok("push", "./late", "hull", "--tag", "other", "--sign", "mine.key", ...IN_STORE);
  await ok("verify", "./late:other", "--key", "mine.pub");
});

test("a push does not sign images with layers that another put into the cache", async () => {
  await ok("push", "./mixed", "hull", ...IN_STORE);
  const args = ["push", "./mixed", "fleet", "--only", "package", "--sign", "mine.key", ...IN_STORE];
  const ran = await run(...args);
  assert.equal(ran.status, 8, ran.stdout + ran.stderr);
  assert.match(ran.stderr, /nothing was pushed, because it could not be signed: \S+\.spack/);
  assert.ok(!(await ok("tags", "oci-layout:./mixed")).includes("fleet"), "nothing was published");
  assert.equal((await run("verify", "./mixed", "--key", "mine.pub")).stdout.includes(": signed by"), false);
  // Once somebody has vouched for them with the same key, they may be built upon.
  await ok("sign", "./mixed", "--key", "mine.key");
  await ok(...args, "--force");
});

test("a wrong password and a key that is none stop a push before anything is made", async () => {
  for (const key of ["mine.pub", "none.key"]) {
    const { status } = await run("push", "./never", "hull", "--sign", key, ...IN_STORE);
    assert.ok(status === 2 || status === 5);
  }
  const wrong = await stave(["push", "./never", "hull", "--sign", "mine.key", ...IN_STORE], {
    cwd: work,
    env: { ...env, COSIGN_PASSWORD: "wrong" },
  });
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /the password does not open/);
  assert.throws(() => readFileSync(join(work, "never/index.json")), { code: "ENOENT" });
});

test("verify says which images have no good signature, in text and as JSON, and ends with 1", async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "plain"), { recursive: true });
  const none = await run("verify", "./plain:fleet-env", "--key", "mine.pub");
  assert.equal(none.status, 1);
  assert.match(
    none.stdout,
    /^SIGNATURE_MISSING: oci-layout:\.\/plain:fleet-env has no signature, expected one by mine\.pub/,
  );
  assert.match(none.stdout, /hint: ask its publisher to sign it/);
  await ok("keygen", "other");
  await ok("sign", "./plain:fleet-env", "--key", "other.key");
  const { stdout, status } = await run("verify", "./plain", "--all", "--key", "mine.pub", "--json");
  assert.equal(status, 1);
  const { report } = JSON.parse(stdout);
  const codes = new Set(report.places[0].images.map(({ error }: { error: { code: string } }) => error.code));
  assert.deepEqual(codes, new Set(["SIGNATURE_MISSING", "IDENTITY_MISMATCH"]));
  assert.equal(report.signed, 0);
  assert.match(
    await ok("verify", "./plain:fleet-env", "--key", "mine.pub", "--key", "other.pub"),
    /signed by other\.pub/,
  );
});

test("what verify and sign cannot do is said before anything is asked", async () => {
  mkdirSync(join(work, "mirror/v3"), { recursive: true });
  writeFileSync(join(work, "mirror/v3/layout.json"), '{"signing":"gpg"}');
  const cases: { args: string[]; status: number; says: RegExp }[] = [
    {
      args: ["verify", "./plain"],
      status: 2,
      says: /no signer was named, and there is no trust policy, so no signature can be trusted/,
    },
    { args: ["verify", "--key", "mine.pub"], status: 2, says: /no image and no cache was named/ },
    { args: ["verify", "./plain:nope", "--key", "mine.pub"], status: 5, says: /plain:nope does not exist/ },
    { args: ["verify", "./plain", "--key", "mine.key"], status: 2, says: /is not a public key in PEM form/ },
    { args: ["verify", "./plain", "--key", "none.pub"], status: 5, says: /cannot read .*none\.pub/ },
    { args: ["verify", "./nothing", "--key", "mine.pub"], status: 5, says: /nothing/ },
    { args: ["sign", "./plain"], status: 2, says: /no signer was chosen/ },
    { args: ["sign", "./plain", "--key", "mine.pub"], status: 2, says: /is a public key, expected a private one/ },
    { args: ["sign", "./plain:nope", "--key", "mine.key"], status: 5, says: /plain:nope does not exist/ },
    {
      args: ["verify", `file://${join(work, "mirror")}`, "--key", "mine.pub"],
      status: 6,
      says: /has no images/,
    },
  ];
  for (const { args, status, says } of cases) {
    const ran = await run(...args);
    assert.equal(ran.status, status, ran.stderr);
    assert.match(ran.stderr, says);
  }
});

test("a diagnostic report of Node has no password", { timeout: 120_000 }, async () => {
  const report = join(work, "report.json");
  const options = ["--report-on-signal", "--report-signal=SIGUSR2", `--report-directory=${work}`];
  const running = startStave(["serve", "./cache", "--listen", "127.0.0.1:0"], {
    cwd: work,
    env: { ...env, NODE_OPTIONS: [...options, "--report-filename=report.json"].join(" ") },
  });
  try {
    await Promise.race([running.stdout, running.stderr].map((stream) => once(stream ?? assert.fail(), "data")));
    running.kill("SIGUSR2");
    while (!existsSync(report) || !readFileSync(report, "utf8").trim().endsWith("}")) await setTimeout(50);
  } finally {
    running.kill("SIGKILL");
  }
  const text = readFileSync(report, "utf8");
  assert.ok(JSON.parse(text).header.nodejsVersion);
  assert.ok(!text.includes(PASSWORD));
});

test("no output has the password or the private key", () => {
  const key = readFileSync(join(work, "mine.key"), "utf8").split("\n")[1] ?? "";
  assert.ok(outputs.length > 20 && key.length > 20);
  for (const text of outputs) assert.ok(!text.includes(PASSWORD) && !text.includes(key));
});
