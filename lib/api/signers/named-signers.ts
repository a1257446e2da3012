// Signers that a user names, instead of a policy or beside it: public keys, and identities of certificates.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import type { Signer } from "../../sign/signature/judge.ts";
import type { Surroundings } from "../machine/surroundings.ts";

/** Whose signatures count; any of them suffices. */
export interface NamedSigners {
  /** The paths of public keys. */
  readonly key?: readonly string[] | undefined;
  /** Names in certificates, exact or globs: the URL of a workflow, or an e-mail address. */
  readonly certificateIdentity?: readonly string[] | undefined;
  /** The identity provider of these names. */
  readonly certificateOidcIssuer?: string | undefined;
  /** The path of the `trusted_root.json` of their certificates; default: the root of the public instance. */
  readonly trustedRoot?: string | undefined;
}

/** True if at least one signer is named. */
export function namesSigners({ key = [], certificateIdentity = [] }: NamedSigners): boolean {
  return key.length + certificateIdentity.length > 0;
}

/** Refuses an identity without its issuer, and the reverse. Throws USAGE. */
export function checkNamed({ certificateIdentity, certificateOidcIssuer, trustedRoot }: NamedSigners): void {
  if ((certificateIdentity === undefined) !== (certificateOidcIssuer === undefined))
    throw new StaveError("USAGE", "an identity counts only together with its issuer", {
      hint: "name both, with `certificateIdentity` and `certificateOidcIssuer`",
    });
  if (trustedRoot !== undefined && certificateIdentity === undefined)
    throw new StaveError("USAGE", "a trusted root is for identities, and none is named", {
      hint: "name one, with `certificateIdentity` and `certificateOidcIssuer`",
    });
}

/**
 * Reads the keys, and prepares the identities; their root is read when it is needed. Throws USAGE, CONFIG_INVALID,
 * NOT_FOUND, FILE_SYSTEM.
 */
export async function namedSigners(
  named: NamedSigners,
  around: Surroundings,
  transport: Transport | undefined,
): Promise<Signer[]> {
  checkNamed(named);
  const { key = [], certificateIdentity = [], certificateOidcIssuer: issuer = "", trustedRoot } = named;
  const { cwd } = around;
  const signers: Signer[] = [];
  if (key.length > 0) {
    const { readPublicKey } = await import("../../sign/key/key-file.ts");
    for (const name of key) signers.push({ name, key: await readPublicKey(resolve(cwd, name)) });
  }
  if (certificateIdentity.length > 0) {
    const [{ IdentityPattern }, { PUBLIC_ROOT }, { rootsOf }] = await Promise.all([
      import("../../sign/identity/identity-pattern.ts"),
      import("../../sign/identity/roots.ts"),
      import("./roots-of.ts"),
    ]);
    const roots = rootsOf(around, transport);
    const source = trustedRoot === undefined ? PUBLIC_ROOT : { file: resolve(cwd, trustedRoot) };
    for (const identity of certificateIdentity) {
      const pattern = new IdentityPattern({ issuer, identity }, "--certificate-identity");
      signers.push({ name: identity, identity: pattern, root: () => roots.root(source) });
    }
  }
  return signers;
}
