// `stave sign`: signs images and caches.
import type { SpackFlags } from "../../api/from-spack/spack-files.ts";
import { StaveError } from "../../errors.ts";
import { chosenImages } from "../../ops/sign/images.ts";
import { signImages } from "../../ops/sign/sign.ts";
import { addPassword, type PasswordFlags } from "../arguments/key-password.ts";
import {
  addLegacySignature,
  checkLegacySignature,
  type LegacySignatureFlags,
  legacySigning,
} from "../arguments/legacy-signature.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { openToSign, SIGNED_PLACE } from "../arguments/signed-place.ts";
import { addKeyless, type KeylessFlags, openKey, openKeyless } from "../arguments/signer.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { signText } from "../output/signature-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, PasswordFlags, KeylessFlags, LegacySignatureFlags {
  key?: string;
  all?: boolean;
  dryRun?: boolean;
}

const HELP = `
Signs digests, tags and DAG hashes with one signature for up to 1000 images, as cosign does: \`cosign verify --key KEY.pub\` and
\`stave verify --key KEY.pub\` check each image. With --keyless there is no key to keep: Sigstore confirms that this job of GitHub or
GitLab signed, or the owner of an e-mail address, and \`stave verify --certificate-identity\` checks that. Images that the same signer
has signed are left alone. ${SIGNED_PLACE}.

Examples:
  stave sign ghcr.io/org/app:1 --key release.key
  stave sign oci://ghcr.io/org/cache --key release.key --all
  stave sign oci-layout:./stave-cache --key release.key
  stave sign ghcr.io/org/app:1 --keyless`;

/** The command `stave sign`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("sign", "sign an image, or the specs and the index of a cache")
    .argument("<image|cache>", "the image, or the cache")
    .option("--key <file>", "the private key: of `stave keygen` or cosign, or PKCS#8 in PEM")
    .option("--all", "also sign every other tag of the cache");
  addPassword(addKeyless(addLegacySignature(command)));
  addSpack(addTransport(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { clock, signal } = context;
    checkSigner(flags);
    const opened = flags.key === undefined ? undefined : await openKey(context, flags, flags.key);
    await using place = await openToSign(text, { context, output, flags });
    const { target, reference, cache, memory } = place;
    const references = await chosenImages(target, { reference, all: flags.all }, { signal });
    const images = references.map((each) => ({ reference: each }));
    const { dryRun } = flags;
    const signer = opened?.signer ?? (await openKeyless(context, flags, place.transport));
    const legacy = legacySigning(flags, opened?.key, cache);
    const report = await signImages({ target, images, signer, cache, dryRun, legacy, memory, clock, signal });
    output.print(signText(report, flags));
    output.report(report);
    return 0;
  });
};

function checkSigner(flags: Flags): void {
  const { key, keyless, signingConfig, trustedRoot } = flags;
  if ((key === undefined) === (keyless !== true))
    throw new StaveError(
      "USAGE",
      key === undefined ? "no signer was chosen" : "--key and --keyless exclude each other",
      {
        hint: "sign with a key by --key FILE, or as this job or person by --keyless",
      },
    );
  if (key !== undefined && (signingConfig ?? trustedRoot) !== undefined)
    throw new StaveError("USAGE", "--signing-config and --trusted-root are for --keyless", { hint: "leave them out" });
  checkLegacySignature(flags);
}
