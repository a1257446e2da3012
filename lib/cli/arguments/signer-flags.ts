// The flags that name whose signatures count.
import type { Command } from "commander";
import { checkNamed, type NamedSigners, namesSigners } from "../../api/signers/named-signers.ts";
import { collect } from "./shared-flags.ts";

/** The flags that name signers. */
export interface SignerFlags {
  key?: string[];
  certificateIdentity?: string[];
  certificateOidcIssuer?: string;
  trustedRoot?: string;
}

/** Adds the flags that name whose signatures count. */
export function addSigners(command: Command, key: string): Command {
  return command
    .option("--key <file>", key, collect)
    .option(
      "--certificate-identity <name>",
      "the same for signatures without a key: the workflow's URL or e-mail address; * and ** as wildcards",
      collect,
    )
    .option("--certificate-oidc-issuer <url>", "the issuer of that identity")
    .option("--trusted-root <file>", "its trusted_root.json (default: that of the public Sigstore instance)");
}

/** Adds the flags that require signatures by signers, beside what the trust policy requires. */
export function addKeys(command: Command): Command {
  return addSigners(command, "use only images that this public key has signed (may be repeated: one of them)");
}

/** The signers that flags name; undefined if they name none. Throws USAGE. */
export function signersOf(flags: SignerFlags): NamedSigners | undefined {
  const { key, certificateIdentity, certificateOidcIssuer, trustedRoot } = flags;
  checkNamed(flags);
  return namesSigners(flags) ? { key, certificateIdentity, certificateOidcIssuer, trustedRoot } : undefined;
}
