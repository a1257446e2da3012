// Makes the signer that needs no key: from the public instance of Sigstore, or from an instance that files describe.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import type { StatementSigner } from "../../sign/signature/statement-signer.ts";
import { readBounded } from "../../util/read-file.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { rootsOf } from "./roots-of.ts";

/** Which instance of Sigstore signs; default: the public one. */
export interface SigstoreOptions {
  /** The path of its `signing_config.json`; goes with `trustedRoot`. */
  readonly signingConfig?: string | undefined;
  /** The path of its `trusted_root.json`. */
  readonly trustedRoot?: string | undefined;
}

/** What the signer needs besides. */
export interface KeylessUse {
  readonly around: Surroundings;
  readonly transport: Transport;
  /** Shows a person how to log in; undefined without a terminal. */
  readonly onPrompt?: ((text: string) => void) | undefined;
}

/**
 * A signer for an identity. Throws CREDENTIALS_MISSING if there is no place to get a token from, USAGE,
 * CONFIG_INVALID, NOT_FOUND, and what reading the root of the public instance throws.
 */
export async function keylessSigner(
  { signingConfig, trustedRoot }: SigstoreOptions,
  { around, transport, onPrompt }: KeylessUse,
): Promise<StatementSigner> {
  if ((signingConfig === undefined) !== (trustedRoot === undefined))
    throw new StaveError("USAGE", "a signing configuration and a trusted root go together", {
      hint: "name both files, with `signingConfig` and `trustedRoot`",
    });
  const { cwd, env, clock, signal } = around;
  const [{ chooseServices, CONFIG_LIMIT }, { identityToken, tokenSource }, { PUBLIC_ROOT }] = await Promise.all([
    import("../../sign/keyless/signing-config.ts"),
    import("../../sign/keyless/identity-token.ts"),
    import("../../sign/identity/roots.ts"),
  ]);
  // Fails before any request if there is no token. The identity provider is not known yet; it is checked below.
  tokenSource({ env, onPrompt, identityProvider: "" });
  const roots = rootsOf(around, transport);
  const config =
    signingConfig === undefined
      ? await roots.signingConfig(PUBLIC_ROOT)
      : (await readBounded(resolve(cwd, signingConfig), CONFIG_LIMIT)).bytes;
  const services = chooseServices(config, signingConfig ?? PUBLIC_ROOT.tuf, clock.now());
  const { identityProvider } = services;
  const from = { env, transport, clock, identityProvider, onPrompt, signal };
  // Before anything is pushed that could not be signed.
  tokenSource(from);
  const root = await roots.root(trustedRoot === undefined ? PUBLIC_ROOT : { file: resolve(cwd, trustedRoot) });
  const { KeylessSigner } = await import("../../sign/keyless/keyless-signer.ts");
  return new KeylessSigner({ services, root, token: () => identityToken(from), transport, clock, signal });
}
