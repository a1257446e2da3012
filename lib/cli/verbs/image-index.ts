// `stave image-index`: one tag for the images of several platforms.
import { referenceOf } from "../../api/places/connection.ts";
import { platformImage, tagToWrite, wholePlace } from "../../api/places/image-places.ts";
import { type TrustOptions, trustedReference } from "../../api/signers/trust.ts";
import { formatLocation, parseLocation } from "../../oci/reference.ts";
import { type AddedImage, addToIndex } from "../../ops/image/image-index.ts";
import type { ReadTarget } from "../../target/target.ts";
import { openNetwork } from "../arguments/open.ts";
import { addJobs, addTransport, addTrust, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { remindToSign } from "../arguments/sign-reminder.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, TrustOptions {
  jobs: number;
}

const HELP = `
Adds images to the index under the tag of IMAGE, one for each platform; images from elsewhere are copied there first. The order does not
matter, and neither does how many jobs do it at once: each image also gets a tag of its own (app.linux-amd64), and the index
always has all of them. An image of a platform that is there already is replaced.

REF is an image or an index. PLATFORM=REF names the platform where the config does not say it, such as the level of an amd64
processor. The lowest level of each architecture is what every client gets unless it asks for another one.

Examples:
  stave image-index ghcr.io/org/app:1 ghcr.io/org/amd64:1 ghcr.io/org/arm64:1
  stave image-index ghcr.io/org/app:1 linux/amd64/v3=oci-layout:./fast:app`;

/** The command `stave image-index`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("image-index", "put the images of several platforms under one tag")
    .argument("<image>", "the tag of all platforms")
    .argument("<refs...>", "the images, each for a platform of its own: REF or PLATFORM=REF");
  addJobs(command, "how many blobs to copy at once", 4);
  addTransport(addTrust(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, image, refs) => {
    const { signal } = context;
    const location = parseLocation(image);
    const tag = tagToWrite(location);
    const wanted = refs.map(platformImage);
    await using opener = await openNetwork({
      context,
      output,
      flags,
      places: [location, ...wanted.map(({ place }) => place)],
    });
    const target = await opener.write(location);
    const onWarning = (line: string): void => output.warn(line);
    const use = { around: context, options: flags, transport: opener.transport, onWarning };
    const added: AddedImage[] = [];
    for (const { place, platform } of wanted) {
      const isHere = wholePlace(place) === wholePlace(location);
      const from: ReadTarget = isHere ? target : await opener.read(place);
      const named = await referenceOf(place, from, signal);
      const reference = isHere ? named : await trustedReference(place, from, named, use);
      added.push({ target: from, reference, platform });
    }
    const options = { progress: output.progress, concurrency: flags.jobs, signal };
    const report = await addToIndex(target, tag, added, options);
    for (const { platform, digest, tag: own } of report.images) output.print(`${platform} ${digest} ${own}`);
    output.print(`${formatLocation(location)} ${report.digest}${report.isWritten ? "" : " (unchanged)"}`);
    if (report.isWritten) {
      const what = "the index of platforms has no signature";
      await remindToSign(location, { kind: "images", what }, { context, output, flags: {} });
    }
    output.report(report);
    return 0;
  });
};
