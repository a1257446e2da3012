// Proves that the command signs and verifies without a key, installs by an identity, and keeps tokens to itself.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { inTerminal, stave } from "../support/cli.ts";
import { golden, goldenSysroot } from "../support/golden.ts";
import { startRegistry } from "../support/registry.ts";
import { IDENTITY, ISSUER, startSigstore } from "../support/sigstore.ts";
import { makeAuthority } from "../support/tls.ts";

// A short path: the binaries of the cache are not padded.
const work = mkdtempSync("/tmp/");
after(() => rmSync(work, { recursive: true, force: true }));
const instance = await startSigstore();
after(() => instance.close());
const registry = await startRegistry();
after(() => registry.close());
const REPO = `${registry.host}/org/cache`;
const CACHE = `oci+http://${REPO}`;
const token = instance.token();
const environment = { HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };
const signing = { ...environment, SIGSTORE_ID_TOKEN: token };
writeFileSync(join(work, "root.json"), JSON.stringify(instance.trustedRoot));
writeFileSync(join(work, "config.json"), JSON.stringify(instance.signingConfig({ rekor: 2 })));
const KEYLESS = ["--keyless", "--signing-config", "config.json", "--trusted-root", "root.json"];
const WHO = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER, "--trusted-root", "root.json"];

async function run(args: string[], env: Record<string, string> = environment) {
  return await stave(args, { cwd: work, env });
}
async function ok(args: string[], env?: Record<string, string>): Promise<string> {
  const { status, stdout, stderr } = await run(args, env);
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  assert.ok(!`${stdout}${stderr}`.includes(token.split(".")[1] ?? "x"));
  return stdout;
}
async function refused(args: string[], says: RegExp, status: number, env?: Record<string, string>): Promise<void> {
  const ran = await run(args, env);
  assert.equal(ran.status, status, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
  assert.match(ran.stdout + ran.stderr, says);
}
const INSTALL = (name: string): string[] => [CACHE, "hull", "--otherarch", "--no-env", "--store", join(work, name)];

await ok(["copy", "--all-tags", `oci-layout:${golden("spack-1.2/plain.oci")}`, REPO]);

test("a cache is signed once, and verified by name; signing again asks only for a certificate", async () => {
  const signed = await ok(["sign", CACHE, ...KEYLESS, "--all", "--trace", "trace.log"], signing);
  assert.ok(signed.includes(`images signed as ${IDENTITY}`), signed);
  assert.equal(instance.entries.length, 1);
  assert.match(await ok(["sign", CACHE, ...KEYLESS, "--all"], signing), /0 images signed.*\d+ signed before/);
  assert.equal(instance.entries.length, 1);
  const trace = readFileSync(join(work, "trace.log"), "utf8");
  assert.match(trace, /log\/entries/);
  assert.ok(!trace.includes(token.split(".")[1] ?? "x"));
  assert.match(await ok(["verify", CACHE, ...WHO]), /\d+ of \d+ images signed/);
  await ok(["verify", `${REPO}:fleet-env`, ...WHO, "--offline"]);
  const near = WHO.with(1, IDENTITY.replace("main", "other"));
  await refused(["verify", `${REPO}:fleet-env`, ...near], /IDENTITY_MISMATCH.*the nearest is by .*its name is/, 1);
  const issuer = WHO.with(3, "https://gitlab.com");
  await refused(["verify", `${REPO}:fleet-env`, ...issuer], /its issuer is https:\/\/token\.actions/, 1);
});

test("--cacert, --trace and proxies apply to the services that sign, too", async () => {
  const authority = makeAuthority();
  after(() => authority.remove());
  const { pem } = authority.issue("sigstore");
  const front = createServer(pem, (request, response) => {
    const to = httpRequest(`${instance.url}${request.url}`, { method: request.method, headers: request.headers });
    request.pipe(to.on("response", (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 500))));
  });
  await new Promise<void>((done) => front.listen(0, "127.0.0.1", done));
  after(() => front.close());
  const url = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
  const config = JSON.stringify(instance.signingConfig({ rekor: 1 })).replaceAll(instance.url, url);
  writeFileSync(join(work, "private.json"), config);
  await ok(["copy", `${REPO}:fleet-env`, `${registry.host}/private/app:1`]);
  const args = ["sign", `${registry.host}/private/app:1`, ...KEYLESS.with(2, "private.json"), "--retries", "0"];
  await refused(args, /certificate.*\[TLS\]/, 4, signing);
  await ok([...args, "--cacert", authority.certificate, "--trace", "private.log"], signing);
  const trace = readFileSync(join(work, "private.log"), "utf8");
  for (const path of ["/api/v2/signingCert", "/api/v1/log/entries", "/api/v1/timestamp"])
    assert.ok(trace.includes(`"url":"${url}${path}"`), trace);
  front.closeAllConnections();
});

test("a policy with an identity is made, explained, and enforced by every verb", async () => {
  const place = `oci://${registry.host}/org`;
  await refused(["verify", CACHE], /no signer was named, and there is no trust policy/, 2);
  await ok(["trust", "add", place, ...WHO, "--name", "ci", "--index"]);
  const policy = JSON.parse(readFileSync(join(work, ".config/stave/trust.json"), "utf8"));
  assert.deepEqual(policy.signers.ci, { issuer: ISSUER, identity: IDENTITY, root: "ci" });
  assert.match(await ok(["trust", "show"]), /a signature by ci \(https:\/\/github.com\/org\/cache/);
  assert.match(await ok(["trust", "explain", `${REPO}:fleet-env`]), /accepted: signed by ci \(https:\/\/github/);
  assert.match(await ok(["verify", CACHE]), /\d+ of \d+ images signed/);
  await ok(["install", ...INSTALL("good")]);
  assert.ok(existsSync(join(work, "good/linux-x86_64")));
  const listed = await ok(["list", CACHE, "-a", "--signatures", "--no-env"]);
  assert.match(listed, /hull@1\.10\.1 \[signed by ci\]/);
  const rows: { signature: object }[] = JSON.parse(
    await ok(["list", CACHE, "-a", "--signatures", "--no-env", "--json"]),
  ).report.specs;
  assert.deepEqual(rows[0]?.signature, { signer: "ci", identity: IDENTITY });
  policy.signers.ci.repositoryId = "999";
  writeFileSync(
    join(work, "ids.json"),
    JSON.stringify({ ...policy, roots: { ci: { file: join(work, "root.json") } } }),
  );
  await refused(["install", ...INSTALL("bad"), "--trust", "ids.json"], /repository has the id 1234, not 999/, 8);
  await refused(["verify", CACHE, "--trust", "ids.json"], /IDENTITY_MISMATCH/, 1);
  policy.caches[place] = { require: "signature", signers: ["ci"] };
  writeFileSync(
    join(work, "any.json"),
    JSON.stringify({ ...policy, roots: { ci: { file: join(work, "root.json") } } }),
  );
  const bad = await ok(["list", CACHE, "-a", "--signatures", "--no-env", "--trust", "any.json"]);
  assert.match(bad, /hull@1\.10\.1 \[IDENTITY_MISMATCH\]/);
  assert.ok(!existsSync(join(work, "bad/linux-x86_64")));
  policy.signers.ci = { ...policy.signers.ci, repositoryId: "1234", notAfter: "2020-01-01T00:00:00Z" };
  writeFileSync(
    join(work, "ended.json"),
    JSON.stringify({ ...policy, roots: { ci: { file: join(work, "root.json") } } }),
  );
  await refused(["verify", `${REPO}:fleet-env`, "--trust", "ended.json"], /REVOKED.*ci was trusted until 2020/, 1);
  rmSync(join(work, ".config"), { recursive: true });
  await refused(["install", ...INSTALL("bad"), ...WHO.with(1, "https://github.com/other/**")], /IDENTITY_MISMATCH/, 8);
  await ok(["install", ...INSTALL("named"), ...WHO]);
});

test("a push signs what it made as the job, with one entry", async () => {
  const store = ["--sysroot", await goldenSysroot("spack-1.2"), "--store", "/opt/harbor/store", "--no-env"];
  const logged = instance.entries.length;
  const push = ["push", `oci+http://${registry.host}/org/pushed`, "hull", "--tag", "app", "--update-index", ...store];
  await ok([...push, "--sign", ...KEYLESS], signing);
  assert.equal(instance.entries.length, logged + 1);
  assert.match(await ok(["verify", `oci+http://${registry.host}/org/pushed`, "--all", ...WHO]), /images signed/);
  const none = { ...environment, GITHUB_ACTIONS: "true", CI: "true" };
  const never = ["push", "oci-layout:./never", "hull", "--sign", ...KEYLESS, ...store];
  await refused(never, /this GitHub job may not get an identity token.*\n?.*forks never get a token/s, 3, none);
  assert.ok(!existsSync(join(work, "never/index.json")), "nothing is pushed that could not be signed");
  // Nor is anything asked for, which could fail or take its time: the services of the public instance are out of reach.
  const far = { ...none, HTTPS_PROXY: "http://127.0.0.1:1", NO_PROXY: "" };
  const plain = ["sign", `oci+http://${registry.host}/org/pushed`, "--keyless"];
  await refused(plain, /this GitHub job may not get an identity token/, 3, far);
  await refused(["push", "oci-layout:./never", "hull", "--sign", ...store], /--sign needs a key/, 2);
});

test("a directory is signed and verified, and nothing but the root's file is needed to verify", async () => {
  cpSync(golden("spack-1.2/plain.oci"), join(work, "directory"), { recursive: true });
  await ok(["sign", "oci-layout:./directory:fleet-env", ...KEYLESS], signing);
  const asked = instance.requests.length;
  await ok(["verify", "oci-layout:./directory:fleet-env", ...WHO, "--offline"]);
  assert.equal(instance.requests.length, asked);
});

test("a person at a terminal is told where to log in", async () => {
  const args = ["sign", `${REPO}:fleet-env`, ...KEYLESS];
  const { status, output } = await inTerminal(args, { cwd: work, env: environment });
  assert.equal(status, 0, output);
  assert.match(output, /open http:\/\/127.*confirm the code ABCD-EFGH/);
  assert.match(output, /public log/);
  const me = ["--certificate-identity", "me@example.org", "--certificate-oidc-issuer", `${instance.url}/auth`];
  await ok(["verify", `${REPO}:fleet-env`, ...me, "--trusted-root", "root.json"]);
});

const wrong: Record<string, { args: string[]; says: RegExp; status?: number }> = {
  "no signer": { args: ["sign", CACHE], says: /no signer was chosen/ },
  "two signers": { args: ["sign", CACHE, "--keyless", "--key", "x"], says: /exclude each other/ },
  "half an instance": { args: ["sign", CACHE, "--keyless", "--signing-config", "config.json"], says: /go together/ },
  "an instance for a key": {
    args: ["sign", CACHE, "--key", "x", "--trusted-root", "root.json"],
    says: /for --keyless/,
  },
  "the form of cosign 2": { args: ["sign", CACHE, ...KEYLESS, "--legacy-signature"], says: /needs a key/, status: 6 },
  "the form of cosign 2 of a push": {
    args: ["push", CACHE, "fleet", ...KEYLESS, "--legacy-signature"],
    says: /needs a key/,
    status: 6,
  },
  "the form of cosign 2 without a signature": {
    args: ["push", CACHE, "fleet", "--legacy-signature"],
    says: /signed with a key/,
  },
  "an identity without its issuer": { args: ["verify", CACHE, ...WHO.slice(0, 2)], says: /together with its issuer/ },
  "an issuer without an identity": { args: ["verify", CACHE, ...WHO.slice(2, 4)], says: /together with its issuer/ },
  "a root that is gone": {
    args: ["verify", `${REPO}:fleet-env`, ...WHO.with(5, "gone.json")],
    says: /gone\.json/,
    status: 5,
  },
  "a root that is none": {
    args: ["verify", `${REPO}:fleet-env`, ...WHO.with(5, "config.json")],
    says: /no trusted root/,
  },
  "a regular expression": {
    args: ["verify", CACHE, ...WHO.with(1, "^https://.*$")],
    says: /neither a name nor a glob/,
  },
};
for (const [what, { args, says, status = 2 }] of Object.entries(wrong))
  test(`refused: ${what}`, () => refused(args, says, status, signing));
