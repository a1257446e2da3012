// Proves that processes that sign the same images at once lose none of their signatures, on a registry that lets
// writers overwrite each other (distribution) and on `stave serve`.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkSignatures } from "../../lib/ops/sign/check-signatures.ts";
import { chosenImages } from "../../lib/ops/sign/images.ts";
import { Secret } from "../../lib/printable/secret.ts";
import { readPublicKey } from "../../lib/sign/key/key-file.ts";
import { PrivateKey } from "../../lib/sign/key/private-key.ts";
import { SignatureFinder } from "../../lib/sign/signature/find.ts";
import { Judge, NO_REVOCATIONS } from "../../lib/sign/signature/judge.ts";
import { systemClock } from "../../lib/util/time.ts";
import { stave } from "../support/cli.ts";
import { connect } from "../support/client.ts";
import { golden } from "../support/golden.ts";
import { peerTest, startDistribution } from "../support/peers.ts";
import { startServe } from "../support/serve.ts";
import { temporaryFolder } from "../support/tree.ts";

const PROCESSES = 8;
const work = temporaryFolder();
const env = { COSIGN_PASSWORD: "pw", HOME: work, SPACK_ROOT: "" };
const names = Array.from({ length: PROCESSES }, (_, at) => `key${at}`);
for (const name of names) {
  const key = await PrivateKey.generate();
  writeFileSync(join(work, `${name}.key`), await key.sealed(new Secret("pw")));
  writeFileSync(join(work, `${name}.pub`), key.publicKey.pem);
}

async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await stave(args, { cwd: work, env });
  assert.equal(status, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

async function together(host: string): Promise<void> {
  const repository = `oci://${host}/together`;
  await ok("copy", "--all-tags", `oci-layout:${golden("spack-1.2/plain.oci")}`, `${host}/together`);
  await Promise.all(names.map((name) => ok("sign", repository, "--key", `${name}.key`)));
  const { target, close } = connect(host, "together");
  const references = await chosenImages(target, {});
  const finder = new SignatureFinder(target);
  for (const name of names) {
    const signers = [{ name, key: await readPublicKey(join(work, `${name}.pub`)) }];
    const judge = new Judge({ signers, revoked: NO_REVOCATIONS }, () => systemClock.now());
    const readSpec = (): Promise<never> => Promise.reject(new Error("the signature has the name"));
    const { signed } = await checkSignatures({
      target,
      references,
      judge: (image) => judge.check(finder, image),
      readSpec,
    });
    assert.equal(signed, references.length, name);
  }
  await close();
}

peerTest(["docker-registry"], `${PROCESSES} processes sign at once on distribution`, async () => {
  const registry = await startDistribution();
  try {
    await together(registry.host);
  } finally {
    await registry.stop();
  }
});

test(`${PROCESSES} processes sign at once on stave serve`, async () => {
  const directory = join(work, "served");
  mkdirSync(directory);
  cpSync(golden("spack-1.2/plain.oci"), join(directory, "first"), { recursive: true });
  const server = await startServe({ directory });
  try {
    await together(server.host);
  } finally {
    await server.close();
  }
});
