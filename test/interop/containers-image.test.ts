// Proves that containers/image, the library of podman and skopeo, accepts the signatures that `--legacy-signature`
// writes, and nothing else.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeStore } from "../../scripts/make-store.ts";
import { findProgram } from "../../scripts/peers.ts";
import { POLICY_CHECK_BUILD } from "../../scripts/policy-check.ts";
import { stave } from "../support/cli.ts";
import { golden } from "../support/golden.ts";
import { run, startDistribution } from "../support/peers.ts";
import { startServe } from "../support/serve.ts";
import { temporaryFolder } from "../support/tree.ts";

const program = process.env["STAVE_POLICY_CHECK"] ?? "";
const missing = `policy-check is missing: name it in $STAVE_POLICY_CHECK (${POLICY_CHECK_BUILD})`;
const skip = program === "" ? (process.env["STAVE_POLICY_CHECK_REASON"] ?? missing) : false;
const work = temporaryFolder();
const env = { COSIGN_PASSWORD: "pw", HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };

async function ok(...args: string[]): Promise<void> {
  const { status, stdout, stderr } = await stave(args, { cwd: work, env });
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
}

async function accepts(host: string): Promise<void> {
  const folder = join(work, host.replace(":", "-"));
  mkdirSync(join(folder, "registries.d"), { recursive: true });
  writeFileSync(join(folder, "registries.d/x.yaml"), `docker:\n  ${host}:\n    use-sigstore-attachments: true\n`);
  const judge = async (key: string, repository: string, tag: string): Promise<void> => {
    const keyPath = join(work, `${key}.pub`);
    const needed = { type: "sigstoreSigned", keyPath, signedIdentity: { type: "matchRepository" } };
    const policy = { default: [{ type: "reject" }], transports: { docker: { [host]: [needed] } } };
    writeFileSync(join(folder, "policy.json"), JSON.stringify(policy));
    await run(program, [join(folder, "policy.json"), join(folder, "registries.d"), `${host}/${repository}:${tag}`]);
  };
  const image = `oci-layout:${golden("spack-1.2/plain.oci")}:fleet-env`;
  for (const name of ["org/cache", "org/other"]) await ok("copy", image, `${host}/${name}:app`);
  // A bundle alone is nothing that it knows.
  await ok("sign", `${host}/org/cache:app`, "--key", "mine.key");
  await assert.rejects(judge("mine", "org/cache", "app"), /A signature was required, but no signature exists/);
  for (const key of ["mine", "theirs"])
    await ok("sign", `${host}/org/cache:app`, "--key", `${key}.key`, "--legacy-signature");
  await judge("mine", "org/cache", "app");
  await judge("theirs", "org/cache", "app");
  await assert.rejects(judge("third", "org/cache", "app"), /invalid signature|cryptographic signature verification/);
  // The signature names the repository: a copy elsewhere has none that counts.
  await assert.rejects(judge("mine", "org/other", "app"), /no signature exists/);
  await ok("copy", "--all-tags", `${host}/org/cache`, `${host}/org/copied`);
  await assert.rejects(judge("mine", "org/copied", "app"), /Signature for identity|does not match|rejected/);
  // A push signs in the same way.
  const store = join(folder, "store");
  mkdirSync(store);
  makeStore(store, { bytes: 1e5, files: 20, specs: 4, seed: 5 });
  const from = ["--all", "--allow-missing", "--store", store, "--no-env", "--tag", "app"];
  await ok("push", `oci://${host}/org/pushed`, ...from, "--sign", "mine.key", "--legacy-signature");
  await judge("mine", "org/pushed", "app");
  await assert.rejects(judge("theirs", "org/pushed", "app"), /invalid signature|cryptographic signature verification/);
}

test("keys", { skip }, async () => {
  for (const name of ["mine", "theirs", "third"]) await ok("keygen", name);
});

test("signatures in the form of cosign 2 on stave serve", { skip, timeout: 120_000 }, async () => {
  const directory = join(work, "served");
  mkdirSync(directory);
  const server = await startServe({ directory });
  try {
    await accepts(server.host);
  } finally {
    await server.close();
  }
});

test("signatures in the form of cosign 2 on distribution", { skip, timeout: 120_000 }, async () => {
  assert.ok(findProgram("docker-registry"), "docker-registry is missing");
  const registry = await startDistribution();
  try {
    await accepts(registry.host);
  } finally {
    await registry.stop();
  }
});
