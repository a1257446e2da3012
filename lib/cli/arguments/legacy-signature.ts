// The flag for signatures in the form of cosign 2, which podman and skopeo read.
import type { Command } from "commander";
import { StaveError } from "../../errors.ts";
import type { LegacySigning } from "../../ops/sign/sign.ts";
import type { PrivateKey } from "../../sign/key/private-key.ts";

/** The value of the flag. */
export interface LegacySignatureFlags {
  legacySignature?: boolean;
}

/** Adds the flag. */
export function addLegacySignature(command: Command): Command {
  return command.option(
    "--legacy-signature",
    "also sign each image in the form of cosign 2, which podman and skopeo read",
  );
}

/** Throws UNSUPPORTED if there is no key to sign with. */
export function checkLegacySignature(flags: LegacySignatureFlags & { readonly keyless?: boolean }): void {
  if (flags.legacySignature && flags.keyless)
    throw new StaveError("UNSUPPORTED", "the form of cosign 2 needs a key", {
      hint: "name a key instead of --keyless",
    });
}

/**
 * How to sign in that form, undefined without the flag; `cache` is `oci://HOST/REPO`, undefined for a directory. Throws
 * USAGE for a directory.
 */
export function legacySigning(
  { legacySignature }: LegacySignatureFlags,
  key: PrivateKey | undefined,
  cache: string | undefined,
): LegacySigning | undefined {
  if (!legacySignature || key === undefined) return undefined;
  if (cache === undefined)
    throw new StaveError(
      "USAGE",
      "--legacy-signature signs the name of a repository, which a directory does not have",
      {
        hint: "sign the images in the registry from which they are pulled",
      },
    );
  // podman compares the signed name with the one that an image is pulled by.
  const repository = cache.replace(/^oci:\/\//, "").replace(/^index\.docker\.io\//, "docker.io/");
  return { key, repository };
}
