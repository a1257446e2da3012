// `stave attach`: stores files as an artifact that refers to an image.
import { resolve } from "node:path";
import { referenceOf } from "../../api/places/connection.ts";
import { StaveError } from "../../errors.ts";
import { isMediaType } from "../../oci/mediatype.ts";
import { parseLocation } from "../../oci/reference.ts";
import { attachFiles, fileToAttach } from "../../ops/image/attach-files.ts";
import { printable } from "../../printable/printable.ts";
import { pairs } from "../arguments/image-flags.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, collect, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  artifactType: string;
  annotation?: string[];
}

const HELP = `
Each file is FILE or FILE:TYPE, with its media type (default: application/octet-stream). The artifact is listed by stave referrers, and
copied by stave copy --referrers. It is not signed: for signatures use stave sign.

Examples:
  stave attach ghcr.io/org/app:1 --artifact-type application/vnd.example.report report.json:application/json`;

/** The command `stave attach`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("attach", "store files as an artifact that refers to an image")
    .argument("<image>", "the image or index")
    .argument("<files...>", "the files, each with its media type: FILE[:TYPE]")
    .requiredOption("--artifact-type <type>", "the type of the artifact")
    .option("--annotation <key=value>", "add an annotation to the artifact (may be repeated)", collect);
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, text, files) => {
    const { signal, cwd } = context;
    const { artifactType } = flags;
    if (!isMediaType(artifactType)) throw noType(artifactType);
    const annotations = pairs("--annotation", flags.annotation) ?? {};
    const attached = await Promise.all(files.map((file) => parseFile(file, cwd)));
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.write(location);
    const reference = await referenceOf(location, target, signal);
    const report = await attachFiles(target, reference, { artifactType, files: attached, annotations, signal });
    output.print(`${report.digest} refers to ${report.subject}`);
    output.report(report);
    return 0;
  });
};

async function parseFile(text: string, cwd: string): ReturnType<typeof fileToAttach> {
  const [, path, mediaType] = /^(.+):([^:/]+\/[^:]+)$/s.exec(text) ?? [];
  if (mediaType !== undefined && !isMediaType(mediaType)) throw noType(mediaType);
  return await fileToAttach(resolve(cwd, path ?? text), mediaType ?? "application/octet-stream");
}

function noType(text: string): StaveError {
  return new StaveError("USAGE", `"${printable(text, { most: 160 })}" is not a media type`, {
    hint: "for example application/vnd.example.report+json",
  });
}
