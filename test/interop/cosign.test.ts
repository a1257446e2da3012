// Proves that cosign and stave verify each other's signatures by key, on a registry without the referrers API
// (distribution) and on one with it (`stave serve`), for one image and for many.
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { Secret } from "../../lib/printable/secret.ts";
import { readPrivateKey } from "../../lib/sign/key/key-file.ts";
import { addLegacySignature } from "../../lib/sign/signature/legacy.ts";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { cosignTest } from "../support/cosign.ts";
import { GITLAB_JOB } from "../support/gitlab-job.ts";
import { golden } from "../support/golden.ts";
import { run, startDistribution } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";
import { startServe } from "../support/serve.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const env = { COSIGN_PASSWORD: "pw", HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };
const VERIFY = ["--insecure-ignore-tlog", "--allow-insecure-registry"];
const HULL = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";

async function ok(args: string[]): Promise<string> {
  const { status, stdout, stderr } = await stave(args, { cwd: work, env });
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

async function bothWays(program: string, repository: string): Promise<void> {
  const call = (args: string[]): Promise<string> => run(program, args, env);
  const [mine, theirs] = [join(work, "mine"), join(work, "theirs")];
  await ok(["copy", "--all-tags", `oci-layout:${golden("spack-1.2/plain.oci")}`, repository]);
  const tags = (await ok(["tags", repository])).trim().split("\n");
  const specs = tags.filter((tag) => tag.endsWith(".spack"));

  // One signature of stave for the whole cache; cosign verifies each image, and refuses the one that was left out.
  await ok(["sign", `oci://${repository}`, "--key", `${mine}.key`]);
  for (const tag of [specs[0], HULL, "index.spack"])
    await call(["verify", "--key", `${mine}.pub`, ...VERIFY, `${repository}:${tag}`]);
  await assert.rejects(call(["verify", "--key", `${mine}.pub`, ...VERIFY, `${repository}:fleet-env`]));
  await assert.rejects(call(["verify", "--key", `${theirs}.pub`, ...VERIFY, `${repository}:${HULL}`]));
  await ok(["sign", `${repository}:fleet-env`, "--key", `${mine}.key`]);
  await call(["verify", "--key", `${mine}.pub`, ...VERIFY, `${repository}:fleet-env`]);

  // Signatures of cosign beside those of stave.
  await call(["signing-config", "create", "--out", join(work, "signing-config.json")]);
  for (const tag of [HULL, "fleet-env"]) {
    const no = await stave(["verify", `${repository}:${tag}`, "--key", `${theirs}.pub`], { cwd: work, env });
    assert.equal(no.status, 1);
    assert.match(no.stdout, /IDENTITY_MISMATCH/);
    const config = ["--signing-config", join(work, "signing-config.json"), "--allow-insecure-registry", "-y"];
    await call(["sign", "--key", `${theirs}.key`, ...config, `${repository}:${tag}`]);
    for (const key of [mine, theirs]) {
      await ok(["verify", `${repository}:${tag}`, "--key", `${key}.pub`]);
      await call(["verify", "--key", `${key}.pub`, ...VERIFY, `${repository}:${tag}`]);
    }
  }

  // A copy keeps both, and an attestation is no signature.
  await ok(["copy", "--referrers", `${repository}:fleet-env`, "oci-layout:./copy:fleet-env"]);
  for (const key of [mine, theirs]) await ok(["verify", "oci-layout:./copy:fleet-env", "--key", `${key}.pub`]);
}

cosignTest("cosign and stave make keys that both use", async (program) => {
  await ok(["keygen", "mine"]);
  await run(program, ["generate-key-pair", "--output-key-prefix", join(work, "theirs")], env);
  const shown = await run(program, ["public-key", "--key", join(work, "mine.key")], env);
  assert.match(shown, /BEGIN PUBLIC KEY/);
});

cosignTest(
  "cosign verifies the form of cosign 2, where an image has no bundle, from several signers",
  async (program) => {
    const directory = join(work, "legacy");
    cpSync(golden("spack-1.2/plain.oci"), join(directory, "cache"), { recursive: true });
    const server = await startServe({ directory });
    const { target, close } = connect(server.host, "cache");
    try {
      const digest = (await target.headManifest("fleet-env"))?.digest;
      assert.ok(digest);
      const repository = `${server.host}/cache`;
      for (const name of ["mine", "theirs"]) {
        const key = await readPrivateKey(join(work, `${name}.key`), () => Promise.resolve(new Secret("pw")));
        assert.equal(await addLegacySignature(target, { digest, repository }, key), true);
        assert.equal(await addLegacySignature(target, { digest, repository }, key), false);
      }
      for (const name of ["mine", "theirs"])
        await run(program, ["verify", "--key", join(work, `${name}.pub`), ...VERIFY, `${repository}:fleet-env`], env);
      await run(program, ["generate-key-pair", "--output-key-prefix", join(work, "third")], env);
      await assert.rejects(
        run(program, ["verify", "--key", join(work, "third.pub"), ...VERIFY, `${repository}:fleet-env`], env),
      );
    } finally {
      await close();
      await server.close();
    }
  },
);

/** What a push attaches, for one image of a spec and the tagged one. */
async function attests(program: string, repository: string): Promise<void> {
  const { sysroot } = await goldenStore();
  const key = join(work, "mine");
  const kinds = { spdx: "spdxjson", cyclonedx: "cyclonedx" };
  for (const [format, type] of Object.entries(kinds)) {
    const to = `oci://${repository}-${format}`;
    const flags = ["--tag", "app", "--sign", `${key}.key`, "--sbom", format, "--provenance"];
    const store = ["--store", "/opt/harbor/store", "--sysroot", sysroot, "--no-env"];
    const pushed = await stave(["push", to, "fleet", ...flags, ...store], {
      cwd: work,
      env: { ...env, ...GITLAB_JOB },
    });
    assert.equal(pushed.status, 0, pushed.stderr);
    assert.match(pushed.stdout, /attached to 9 images[\s\S]*provenance: attached to 9 images/);
    for (const tag of ["app", HULL])
      for (const one of [type, "slsaprovenance1"]) {
        const image = `${repository}-${format}:${tag}`;
        const verify = ["verify-attestation", "--type", one, ...VERIFY];
        const text = await run(program, [...verify, "--key", `${key}.pub`, image], env);
        const { payload } = JSON.parse(text.trim().split("\n")[0] ?? "");
        assert.match(Buffer.from(payload, "base64").toString(), /"predicateType":"https:\/\/(?:spdx|cyclonedx|slsa)/);
        await assert.rejects(run(program, [...verify, "--key", `${join(work, "theirs")}.pub`, image], env));
      }
  }
}

cosignTest("signatures by key on distribution, which has no referrers API", async (program) => {
  assert.ok(findProgram("docker-registry"), "docker-registry is missing");
  const registry = await startDistribution();
  try {
    await bothWays(program, `${registry.host}/cache`);
    await attests(program, `${registry.host}/attested`);
  } finally {
    await registry.stop();
  }
});

cosignTest("signatures by key on stave serve, which has the referrers API", async (program) => {
  const directory = join(work, "served");
  cpSync(golden("spack-1.2/plain.oci"), join(directory, "first"), { recursive: true });
  const server = await startServe({ directory });
  try {
    await bothWays(program, `${server.host}/cache`);
    await attests(program, `${server.host}/attested`);
  } finally {
    await server.close();
  }
});
