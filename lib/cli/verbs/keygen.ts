// `stave keygen`: makes a key pair for signing.
import { resolve } from "node:path";
import { writeKeyPair } from "../../sign/key/key-file.ts";
import { addPassword, keyPassword, type PasswordFlags } from "../arguments/key-password.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import type { OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends OutputOptions, PasswordFlags {}

const HELP = `
Writes NAME.key, the private key, encrypted with a password and readable by its owner only, and NAME.pub, the public key for those
who verify. Files that exist are never overwritten. cosign can use the pair, and stave can use that of \`cosign generate-key-pair\`.

Examples:
  stave keygen release
  COSIGN_PASSWORD=... stave keygen release
  stave keygen release --password-fd 3 3< password.txt`;

/** The command `stave keygen`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("keygen", "make a key pair for signing").argument(
    "[name]",
    "the path of the files without .key and .pub",
    "stave",
  );
  addPassword(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, name) => {
    const [privateKey, publicKey] = [`${name}.key`, `${name}.pub`];
    const password = await keyPassword(context, flags, { name: privateKey, isNew: true });
    const report = await writeKeyPair({
      privateKey: resolve(context.cwd, privateKey),
      publicKey: resolve(context.cwd, publicKey),
      password,
    });
    if (password.reveal() === "") output.warn(`${privateKey} is encrypted with an empty password: anyone can open it`);
    output.print(`${privateKey} and ${publicKey}: ECDSA P-256, fingerprint ${report.fingerprint}`);
    output.report(report);
    return 0;
  });
};
