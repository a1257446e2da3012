// `stave delete`: removes tags and manifests.
import { keychainOptions } from "../../api/places/connection.ts";
import { Keychain } from "../../auth/keychain.ts";
import { StaveError } from "../../errors.ts";
import { formatLocation } from "../../oci/reference.ts";
import { type DeleteReport, type DoomedImage, deleteImages, findDoomed } from "../../ops/image/delete-images.ts";
import { addGithub, type GithubFlags, githubPackages } from "../arguments/github-packages-flag.ts";
import { imagesOfOne } from "../arguments/image-location.ts";
import { openNetwork } from "../arguments/open.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { confirm } from "../output/confirm.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, GithubFlags {
  dryRun?: boolean;
  yes?: boolean;
}

const HELP = `
A tag is removed, and the manifest stays; by its digest, a manifest is removed with all its tags. Layers stay until the registry
collects its garbage. To remove specs from a build cache, with everything that nothing needs any more, use stave prune; to
remove installed specs, use stave uninstall. ghcr.io deletes no tags, and manifests through the packages API of GitHub, with the token
of your login.

Examples:
  stave delete ghcr.io/org/app:old
  stave delete ghcr.io/org/app@sha256:… --yes
  stave delete oci-layout:./stave-cache:old --dry-run`;

/** The command `stave delete`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("delete", "remove tags or manifests from a repository")
    .argument("<images...>", "REPO:TAG or REPO@DIGEST, all of one repository")
    .option("-y, --yes", "do not ask");
  addTransport(addGithub(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, texts) => {
    const { signal } = context;
    const { dryRun: isDryRun = false } = flags;
    const { place, references } = imagesOfOne(texts);
    const onWarning = (error: StaveError): void => output.warn(error.message);
    const keychain = new Keychain({ ...keychainOptions(context, flags), onWarning });
    await using opener = await openNetwork({ context, output, flags, places: [place], keychain });
    const target = await opener.write(place);
    const images = await findDoomed(target, references, { signal });
    const report: DeleteReport = { name: target.name, images, isDryRun };
    for (const image of images) output.print(describe(image, isDryRun));
    if (images.some(({ reference }) => reference.endsWith(".spack")))
      output.warn(`the index of the build cache still lists what is deleted: stave index ${formatLocation(place)}`);
    if (!isDryRun) {
      const many = images.length === 1 ? "it" : `these ${images.length}`;
      if (!flags.yes && !(await confirm(context, `delete ${many} from ${target.name}?`)))
        throw new StaveError("ABORTED", "nothing was deleted");
      const { transport } = opener;
      const deleter = await githubPackages(place, { transport, keychain, flags, context });
      await deleteImages(target, images, { signal, deleter });
      output.note(`deleted from ${target.name}`);
    }
    output.report(report);
    return 0;
  });
};

function describe({ reference, kind, digest, referrers }: DoomedImage, isDryRun: boolean): string {
  const what = kind === "tag" ? `the tag ${reference} of ${digest}` : `the manifest ${digest} with all its tags`;
  const stay = referrers === 1 ? "1 manifest that refers to it stays" : `${referrers} manifests that refer to it stay`;
  const left = referrers === 0 ? "" : `; ${stay}`;
  return `${isDryRun ? "would delete " : ""}${what}${left}`;
}
