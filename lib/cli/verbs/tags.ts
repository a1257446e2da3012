// `stave tags`: lists the tags of a repository or directory.
import { StaveError } from "../../errors.ts";
import { formatLocation, parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Prints one tag per line, sorted.

Examples:
  stave tags ghcr.io/org/cache
  stave tags oci-layout:./stave-cache --json`;

/** The command `stave tags`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("tags", "list the tags of a repository").argument(
    "<repo>",
    "the repository or directory",
  );
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], CommonFlags>(command, state, async (context, output, flags, text) => {
    const location = parseLocation(text);
    const { tag, digest } = location.kind === "layout" ? location : location.reference;
    if (tag !== undefined || digest !== undefined)
      throw new StaveError("USAGE", `expected a repository, not one image: ${formatLocation(location)}`, {
        hint: "leave the tag out, or use `stave inspect` for one image",
      });
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const tags = (await Array.fromAsync(target.tags({ signal: context.signal }))).sort();
    for (const name of tags) output.print(printable(name));
    output.report({ name: target.name, tags });
    return 0;
  });
};
