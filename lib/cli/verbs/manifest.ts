// `stave manifest`: fetches the manifest of an image, unchanged.
import { referenceOf } from "../../api/places/connection.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Index, Manifest } from "../../oci/manifest.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { fetchPlatform, parseFetched } from "../../target/choose-platform.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { isStdout, writeContent } from "../output/write-content.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  platform?: string;
  output?: string;
}

/** The report of `manifest`. */
interface ManifestReport {
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest | Index;
}

const HELP = `
Prints the bytes that the digest covers. On a terminal, characters that it would interpret are shown as escapes.

Examples:
  stave manifest ghcr.io/org/app:1 | jq .layers
  stave manifest ghcr.io/org/app:1 --platform linux/arm64 -o manifest.json`;

/** The command `stave manifest`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("manifest", "fetch the manifest of an image, unchanged")
    .argument("<image>", "the image or index")
    .option("--platform <os/arch>", "if IMAGE is an index, the image for this platform")
    .option("-o, --output <file>", "write it to this file; - for stdout");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal, stdout } = context;
    const { output: file } = flags;
    const location = parseLocation(text);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const fetched = await fetchPlatform(target, await referenceOf(location, target, signal), platform, { signal });
    const { bytes, descriptor } = fetched;
    const { value } = parseFetched(fetched, target.name);
    const isShown = file === undefined || isStdout(file);
    if (isShown && stdout.isTTY) output.print(bytes.toString("utf8"));
    else if (!isShown || !output.options.json) await writeContent(context, [bytes], file);
    const report: ManifestReport = { name: target.name, descriptor, manifest: value };
    output.report(report);
    return 0;
  });
};
