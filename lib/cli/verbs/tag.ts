// `stave tag`: gives an image more tags.
import { referenceOf } from "../../api/places/connection.ts";
import { StaveError } from "../../errors.ts";
import { parseLocation } from "../../oci/reference.ts";
import { tagImage } from "../../ops/image/tag-image.ts";
import { openNetwork } from "../arguments/open.ts";
import { addDryRun, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  dryRun?: boolean;
}

const HELP = `
Nothing is copied: the tags name the same image or index. A tag that is there already is moved. For another repository use
stave copy.

Examples:
  stave tag ghcr.io/org/app:1.2.3 1.2 1 latest
  stave tag oci-layout:./stave-cache:app stable`;

/** The command `stave tag`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("tag", "give an image more tags in its repository")
    .argument("<image>", "the image or index")
    .argument("<tags...>", "the tags, without the repository");
  addTransport(addDryRun(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, text, tags) => {
    const { signal } = context;
    const { dryRun } = flags;
    for (const tag of tags)
      if (/[:/@]/.test(tag))
        throw new StaveError("USAGE", `expected a tag, not a whole name: ${tag}`, {
          hint: `for another repository: stave copy ${text} ${tag}`,
        });
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = dryRun ? await opener.read(location) : await opener.write(location);
    const report = await tagImage(target, await referenceOf(location, target, signal), tags, { dryRun, signal });
    for (const { tag, before } of report.tags) {
      const changed = before === null ? "new" : `moved from ${before}`;
      const what = before === report.digest ? "unchanged" : changed;
      output.print(
        `${tag}: ${report.digest} (${report.isDryRun && before !== report.digest ? "dry run; " : ""}${what})`,
      );
    }
    output.report(report);
    return 0;
  });
};
