// Proves that what is signed without a key verifies, costs one entry in the log, and is refused in every other way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { describe } from "../../../lib/oci/manifest.ts";
import { OCI_MANIFEST } from "../../../lib/oci/mediatype.ts";
import { TrustedRoot } from "../../../lib/sign/identity/trusted-root.ts";
import { identityToken } from "../../../lib/sign/keyless/identity-token.ts";
import { KeylessSigner } from "../../../lib/sign/keyless/keyless-signer.ts";
import { chooseServices } from "../../../lib/sign/keyless/signing-config.ts";
import { parseBundle } from "../../../lib/sign/statement/bundle.ts";
import { statementBytes } from "../../../lib/sign/statement/statement.ts";
import { systemClock } from "../../../lib/util/time.ts";
import { connect } from "../../support/client.ts";
import { IDENTITY, ISSUER, type SigstoreInstance, startSigstore } from "../../support/sigstore.ts";

const image = describe(Buffer.from("{}"), OCI_MANIFEST);
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function signerFor(instance: SigstoreInstance, choice: Parameters<SigstoreInstance["signingConfig"]>[0], env = {}) {
  const { transport, close } = connect("127.0.0.1:1", "x");
  const services = chooseServices(json(instance.signingConfig(choice)), "config", Date.now());
  const root = TrustedRoot.parse(json(instance.trustedRoot), "root");
  const given = { SIGSTORE_ID_TOKEN: instance.token(), ...env };
  const token = () => identityToken({ env: given, transport, clock: systemClock, identityProvider: undefined });
  return { signer: new KeylessSigner({ services, root, token, transport, clock: systemClock }), root, close };
}

for (const choice of [
  { rekor: 1, stamp: true },
  { rekor: 1, stamp: false },
  { rekor: 2, stamp: true },
] as const)
  test(`a signature with a log of version ${choice.rekor} ${choice.stamp ? "and" : "without"} a stamp verifies`, async () => {
    const instance = await startSigstore();
    const { signer, root, close } = signerFor(instance, choice);
    try {
      const payload = statementBytes([{ digest: image.digest, name: "app", dagHash: undefined }], {});
      const bytes = await signer.sign(payload);
      const checked = root.check(parseBundle(bytes, "x"), "x");
      assert.deepEqual([checked.name, checked.issuer, checked.repositoryId], [IDENTITY, ISSUER, "1234"]);
      assert.equal(instance.entries.length, 1);
      await signer.sign(payload);
      assert.equal(instance.requests.filter(({ path }) => path.includes("signingCert")).length, 1);
    } finally {
      await close();
      await instance.close();
    }
  });
