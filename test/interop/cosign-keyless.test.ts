// Proves that cosign and stave verify each other's signatures without a key, against a Sigstore instance on this
// machine with logs of both versions: on distribution, which has no referrers API, and on `stave serve`.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { findProgram } from "../../scripts/peers.ts";
import { stave } from "../support/cli.ts";
import { cosignTest } from "../support/cosign.ts";
import { GITLAB_JOB } from "../support/gitlab-job.ts";
import { golden } from "../support/golden.ts";
import { run, startDistribution } from "../support/peers.ts";
import { goldenStore } from "../support/push.ts";
import { startServe } from "../support/serve.ts";
import { IDENTITY, ISSUER, type SigstoreInstance, startSigstore } from "../support/sigstore.ts";
import { temporaryFolder } from "../support/tree.ts";

const work = temporaryFolder();
const environment = { HOME: work, XDG_CACHE_HOME: join(work, "remembered"), SPACK_ROOT: "" };
const HULL = "hull-1.10.1-uwlohrquwwehihrnbieawl7jsmu7l2ww.spack";
const root = join(work, "root.json");
const config = (rekor: 1 | 2): string => join(work, `config-${rekor}.json`);
let instance: SigstoreInstance;

before(async () => {
  instance = await startSigstore();
  writeFileSync(root, JSON.stringify(instance.trustedRoot));
  for (const rekor of [1, 2] as const) writeFileSync(config(rekor), JSON.stringify(instance.signingConfig({ rekor })));
});
after(() => instance.close());

async function ok(args: string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const env = { ...environment, ...more, SIGSTORE_ID_TOKEN: instance.token() };
  const { status, stdout, stderr } = await stave(args, { cwd: work, env });
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

const AS = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER, "--trusted-root", root];

async function bothWays(program: string, repository: string, rekor: 1 | 2): Promise<void> {
  const call = (args: string[]): Promise<string> => run(program, args, environment);
  const verify = (tag: string, identity = IDENTITY): Promise<string> => {
    const who = ["--certificate-identity", identity, "--certificate-oidc-issuer", ISSUER];
    return call(["verify", ...who, "--trusted-root", root, "--allow-insecure-registry", `${repository}:${tag}`]);
  };
  await ok(["copy", "--all-tags", `oci-layout:${golden("spack-1.2/plain.oci")}`, repository]);
  // One signature of stave for the whole cache; cosign verifies each image, and refuses the one that was left out.
  const logged = instance.entries.length;
  const keyless = ["--keyless", "--signing-config", config(rekor), "--trusted-root", root];
  await ok(["sign", `oci://${repository}`, ...keyless]);
  await ok(["sign", `oci://${repository}`, ...keyless]);
  assert.equal(instance.entries.length, logged + 1);
  for (const tag of [HULL, "index.spack"]) await verify(tag);
  await assert.rejects(verify(HULL, `${IDENTITY}2`));
  await assert.rejects(verify("fleet-env"));
  await ok(["verify", `oci://${repository}`, ...AS]);

  // A signature of cosign for a single image.
  const token = join(work, "token");
  writeFileSync(token, instance.token());
  const services = ["--signing-config", config(rekor), "--trusted-root", root, "--identity-token", token];
  await call(["sign", ...services, "--allow-insecure-registry", "-y", `${repository}:fleet-env`]);
  assert.match(await ok(["verify", `${repository}:fleet-env`, ...AS]), /signed by/);
  const other = ["--certificate-identity", `${IDENTITY}2`, ...AS.slice(2)];
  const no = await stave(["verify", `${repository}:fleet-env`, ...other], { cwd: work, env: environment });
  assert.equal(no.status, 1, no.stdout + no.stderr);
  assert.match(no.stdout, /IDENTITY_MISMATCH/);
}

/** What a push attaches, for the image of a spec and the tagged one; and a second push, which attaches nothing. */
async function attests(program: string, repository: string, rekor: 1 | 2): Promise<void> {
  const { sysroot } = await goldenStore();
  const store = ["--store", "/opt/harbor/store", "--sysroot", sysroot, "--no-env"];
  const keyless = ["--sign", "--keyless", "--signing-config", config(rekor), "--trusted-root", root];
  for (const [format, type] of Object.entries({ spdx: "spdxjson", cyclonedx: "cyclonedx" })) {
    const place = `${repository}-${format}`;
    const push = ["push", `oci://${place}`, "fleet", "--tag", "app", ...keyless, "--sbom", format, "--provenance"];
    const logged = instance.entries.length;
    assert.match(
      await ok([...push, ...store], GITLAB_JOB),
      /attached to 9 images[\s\S]*provenance: attached to 9 images/,
    );
    assert.equal(instance.entries.length, logged + 11, "the signature, nine bills of materials, the provenance");
    for (const tag of ["app", HULL])
      for (const one of [type, "slsaprovenance1"]) {
        const verify = ["verify-attestation", "--type", one, "--trusted-root", root, "--allow-insecure-registry"];
        const as = (identity: string): string[] => [
          ...["--certificate-identity", identity, "--certificate-oidc-issuer", ISSUER],
          `${place}:${tag}`,
        ];
        const text = await run(program, [...verify, ...as(IDENTITY)], environment);
        const statement = Buffer.from(JSON.parse(text.trim().split("\n")[0] ?? "").payload, "base64").toString();
        assert.match(statement, /"predicateType":"https:\/\/(?:spdx|cyclonedx|slsa)/);
        // The builder is whom the certificate names, not what the environment says.
        if (one === "slsaprovenance1") {
          const { buildDefinition, runDetails } = JSON.parse(statement).predicate;
          assert.deepEqual(
            [buildDefinition.internalParameters.claims, runDetails.builder.id],
            ["certificate", IDENTITY],
          );
        }
        await assert.rejects(run(program, [...verify, ...as(`${IDENTITY}2`)], environment));
      }
    // What describes an image does not approve it; and again, nothing is new.
    await ok(["verify", `${place}:app`, ...AS]);
    assert.match(await ok([...push, ...store], GITLAB_JOB), /attached to 0 /);
    assert.equal(instance.entries.length, logged + 11);
  }
}

for (const rekor of [1, 2] as const) {
  cosignTest(`signatures without a key on distribution, log version ${rekor}`, async (program) => {
    assert.ok(findProgram("docker-registry"), "docker-registry is missing");
    const registry = await startDistribution();
    try {
      await bothWays(program, `${registry.host}/cache`, rekor);
      await attests(program, `${registry.host}/attested`, rekor);
    } finally {
      await registry.stop();
    }
  });

  cosignTest(`signatures without a key on stave serve, log version ${rekor}`, async (program) => {
    const server = await startServe({ directory: join(work, `served-${rekor}`) });
    try {
      await bothWays(program, `${server.host}/cache`, rekor);
      await attests(program, `${server.host}/attested`, rekor);
    } finally {
      await server.close();
    }
  });
}
