// `stave digest`: prints the digest of an image.
import { referenceOf } from "../../api/places/connection.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { fetchPlatform } from "../../target/choose-platform.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  platform?: string;
}

/** The report of `digest`. */
interface DigestReport extends Pick<Descriptor, "digest" | "mediaType" | "size"> {
  readonly name: string;
}

const HELP = `
Examples:
  stave digest ghcr.io/org/app:1
  stave digest --platform linux/arm64 docker.io/library/debian:12
  podman pull ghcr.io/org/app@$(stave digest ghcr.io/org/app:1)`;

/** The command `stave digest`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("digest", "print the digest of an image")
    .argument("<image>", "the image or index")
    .option("--platform <os/arch>", "if IMAGE is an index, the image for this platform");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal } = context;
    const location = parseLocation(text);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const reference = await referenceOf(location, target, signal);
    const { descriptor } = await fetchPlatform(target, reference, platform, { signal });
    const { digest, mediaType, size } = descriptor;
    output.print(digest);
    const report: DigestReport = { name: target.name, digest, mediaType, size };
    output.report(report);
    return 0;
  });
};
