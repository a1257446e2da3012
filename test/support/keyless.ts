// A signer without a key, at an instance of Sigstore on this machine.
import { TrustedRoot } from "../../lib/sign/identity/trusted-root.ts";
import { identityToken } from "../../lib/sign/keyless/identity-token.ts";
import { KeylessSigner } from "../../lib/sign/keyless/keyless-signer.ts";
import { chooseServices } from "../../lib/sign/keyless/signing-config.ts";
import { systemClock } from "../../lib/util/time.ts";
import { connect } from "./client.ts";
import type { SigstoreInstance } from "./sigstore.ts";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** A signer, and the root that its signatures are verified with; close it at the end of the test. */
export function keylessSigner(
  instance: SigstoreInstance,
  choice: { rekor?: 1 | 2; stamp?: boolean } = {},
  token: string = instance.token(),
): { signer: KeylessSigner; root: TrustedRoot; close(): Promise<void> } {
  const { transport, close } = connect("127.0.0.1:1", "x", { retry: { attempts: 1 } });
  const services = chooseServices(json(instance.signingConfig(choice)), "config", Date.now());
  const root = TrustedRoot.parse(json(instance.trustedRoot), "root");
  const env = { SIGSTORE_ID_TOKEN: token };
  const from = { env, transport, clock: systemClock, identityProvider: undefined };
  const signer = new KeylessSigner({
    ...{ services, root, transport, clock: systemClock },
    token: () => identityToken(from),
  });
  return { signer, root, close };
}
