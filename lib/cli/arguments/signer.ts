// The signer that the flags of a verb choose: a key, or the identity of this job or person.
import { resolve } from "node:path";
import type { Command } from "commander";
import { keylessSigner, type SigstoreOptions } from "../../api/signers/keyless.ts";
import type { Transport } from "../../http/types.ts";
import { printable } from "../../printable/printable.ts";
import type { PrivateKey } from "../../sign/key/private-key.ts";
import type { StatementSigner } from "../../sign/signature/statement-signer.ts";
import type { Context } from "../machine/context.ts";
import { keyPassword, type PasswordFlags } from "./key-password.ts";

/** The flags for signing without a key. */
export interface KeylessFlags extends SigstoreOptions {
  keyless?: boolean;
}

/** Adds the flags for signing without a key. */
export function addKeyless(command: Command): Command {
  return command
    .option("--keyless", "sign as this CI job, or as you: by Sigstore's certificates, with an entry in its public log")
    .option("--signing-config <file>", "for --keyless, the services of another Sigstore instance")
    .option("--trusted-root <file>", "for --keyless, the trusted root of that instance");
}

/** Reads a private key; its password is asked for if it is needed. */
export async function openKey(
  context: Context,
  flags: PasswordFlags,
  name: string,
): Promise<{ readonly key: PrivateKey; readonly signer: StatementSigner }> {
  const [{ readPrivateKey }, { keySigner }] = await Promise.all([
    import("../../sign/key/key-file.ts"),
    import("../../sign/signature/statement-signer.ts"),
  ]);
  const key = await readPrivateKey(resolve(context.cwd, name), () => keyPassword(context, flags, { name }));
  return { key, signer: keySigner(key) };
}

/** The signer for the identity of this job, or of the person at the terminal. Throws as `keylessSigner`. */
export async function openKeyless(
  context: Context,
  flags: KeylessFlags,
  transport: Transport,
): Promise<StatementSigner> {
  const { stdin, stderr } = context;
  const hasPerson = stdin.isTTY === true && stderr.isTTY === true;
  const onPrompt = (text: string): void => {
    stderr.write(`${printable(text)}\nyour name will stand in a public log, for good\n`);
  };
  return await keylessSigner(flags, { around: context, transport, onPrompt: hasPerson ? onPrompt : undefined });
}
