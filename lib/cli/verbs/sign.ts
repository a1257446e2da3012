// `stave sign`: signs images and caches.

import { resolve } from "node:path";
import type { SpackFlags } from "../../api/spack-files.ts";
import { chosenImages } from "../../ops/sign/images.ts";
import { type SignReport, signImages } from "../../ops/sign/sign.ts";
import { readPrivateKey } from "../../sign/key/key-file.ts";
import { addPassword, keyPassword, type PasswordFlags } from "../arguments/key-password.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { openToSign, SIGNED_PLACE } from "../arguments/signed-place.ts";
import { addSpack } from "../arguments/spack-options.ts";
import { count } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, PasswordFlags {
  key: string;
  all?: boolean;
  dryRun?: boolean;
}

const HELP = `
Signs digests, tags and DAG hashes with one signature for up to 1000 images, as cosign does: \`cosign verify --key KEY.pub\` and
\`stave verify --key KEY.pub\` check each image. Images that the key has signed are left alone. ${SIGNED_PLACE}.

Examples:
  stave sign ghcr.io/org/app:1 --key release.key
  stave sign oci://ghcr.io/org/cache --key release.key --all
  stave sign oci-layout:./stave-cache --key release.key`;

/** The command `stave sign`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("sign", "sign an image, or the specs and the index of a cache")
    .argument("<image|cache>", "the image, or the cache")
    .requiredOption("--key <file>", "the private key: of `stave keygen` or cosign, or PKCS#8 in PEM")
    .option("--all", "also sign every other tag of the cache");
  addPassword(command);
  addSpack(addTransport(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { clock, signal, cwd } = context;
    const key = await readPrivateKey(resolve(cwd, flags.key), () => keyPassword(context, flags, { name: flags.key }));
    await using place = await openToSign(text, { context, output, flags });
    const { target, reference, cache, memory } = place;
    const references = await chosenImages(target, { reference, all: flags.all }, { signal });
    const images = references.map((each) => ({ reference: each }));
    const { dryRun } = flags;
    const report = await signImages({ target, images, key, cache, dryRun, memory, clock, signal });
    output.print(summary(report, flags));
    output.report(report);
    return 0;
  });
};

function summary({ images, gone, signatures, key }: SignReport, { dryRun, verbose }: Flags): string {
  const made = images.filter(({ isNew }) => isNew);
  const lines = images.length === 1 || verbose ? made.map(({ reference, digest }) => `${reference} ${digest}`) : [];
  const parts = [
    `${count(made.length, "image")} ${dryRun ? "to sign" : "signed"} with key ${key.slice(0, 12)} and ${count(signatures, "signature")}`,
  ];
  const before = images.length - made.length;
  if (before > 0) parts.push(`${before} signed before`);
  if (gone.length > 0) parts.push(`${gone.length} removed in the meantime`);
  return [...lines, parts.join(", ")].join("\n");
}
