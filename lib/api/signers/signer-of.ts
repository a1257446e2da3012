// The signer that options of the library name: a key in a file, or the identity of this job.
import { resolve } from "node:path";
import { StaveError } from "../../errors.ts";
import type { Transport } from "../../http/types.ts";
import { Secret } from "../../printable/secret.ts";
import { keySigner, type StatementSigner } from "../../sign/signature/statement-signer.ts";
import type { Surroundings } from "../machine/surroundings.ts";
import { keylessSigner, type SigstoreOptions } from "./keyless.ts";

/** Who signs: the holder of a key, or the identity of this job. */
export interface SignerOptions extends SigstoreOptions {
  /** The path of the private key. */
  readonly key?: string | undefined;
  /** Its password. Default: `$COSIGN_PASSWORD`. */
  readonly password?: string | undefined;
  /** Sign without a key, with the identity token of this CI job or of `$SIGSTORE_ID_TOKEN`. */
  readonly keyless?: boolean | undefined;
}

/** The types of these options. */
export const SIGNER = {
  key: "string",
  password: "string",
  keyless: "boolean",
  signingConfig: "string",
  trustedRoot: "string",
} as const;

/** Throws USAGE unless the options name exactly one signer. */
export function checkSigner(name: string, { key, keyless }: SignerOptions): void {
  if ((key === undefined) === (keyless !== true))
    throw new StaveError("USAGE", `${name}: exactly one of \`key\` and \`keyless\` must be given`);
}

/** The signer. Throws CREDENTIALS_MISSING without a token or a password, and what reading the key throws. */
export async function signerOf(
  options: SignerOptions,
  around: Surroundings,
  transport: Transport,
): Promise<StatementSigner> {
  const { key, password } = options;
  if (key === undefined) return await keylessSigner(options, { around, transport });
  const { readPrivateKey } = await import("../../sign/key/key-file.ts");
  const given = password ?? around.env["COSIGN_PASSWORD"];
  const secret = (): Promise<Secret> => {
    if (given !== undefined) return Promise.resolve(new Secret(given));
    throw new StaveError("CREDENTIALS_MISSING", `no password for ${key}`, {
      subject: key,
      hint: "set COSIGN_PASSWORD, or give the option password",
    });
  };
  return keySigner(await readPrivateKey(resolve(around.cwd, key), secret));
}
