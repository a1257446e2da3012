// `stave blob`: fetches one blob of an image.
import { referenceOf } from "../../api/places/connection.ts";
import { StaveError } from "../../errors.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import { imageName, parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { parseFetched } from "../../target/choose-platform.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { formatBytes } from "../output/formatting.ts";
import { checkDestination, isStdout, writeContent } from "../output/write-content.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  output?: string;
}

/** The report of `blob`. */
interface BlobReport {
  readonly name: string;
  readonly blob: Descriptor;
}

const HELP = `
DIGEST is the digest of the config or of a layer, as stave inspect shows them; its first characters are enough. The bytes are verified,
and a file is only there once it is whole.

Examples:
  stave blob ghcr.io/org/app:1 sha256:3f29 -o layer.tar.gz
  stave blob ghcr.io/org/app:1 3f29 | tar -tz`;

/** The command `stave blob`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("blob", "fetch a layer or the config of an image")
    .argument("<image>", "the image")
    .argument("<digest>", "the blob, by the start of its digest")
    .option("-o, --output <file>", "the file to write; - for stdout");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string, string], Flags>(command, state, async (context, output, flags, text, wanted) => {
    const { signal } = context;
    const { output: file } = flags;
    checkDestination(context, output, file);
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const reference = await referenceOf(location, target, signal);
    const document = parseFetched(await target.fetchManifest(reference, { signal }), target.name);
    const name = imageName(target.name, reference);
    const blobs = document.kind === "index" ? [] : [document.value.config, ...document.value.layers];
    const blob = chosen(blobs, wanted, name);
    await writeContent(context, await target.fetchBlob(blob, { signal }), file);
    if (file !== undefined && !isStdout(file)) output.note(`${file}: ${blob.digest} (${formatBytes(blob.size)})`);
    const report: BlobReport = { name, blob };
    output.report(report);
    return 0;
  });
};

function chosen(blobs: readonly Descriptor[], wanted: string, name: string): Descriptor {
  const start = wanted.includes(":") ? wanted : `sha256:${wanted}`;
  const found = new Map(blobs.filter(({ digest }) => digest.startsWith(start)).map((blob) => [blob.digest, blob]));
  const [first, second] = found.values();
  if (first === undefined)
    throw new StaveError("NOT_FOUND", `${name} has no blob ${printable(wanted, { most: 80 })}`, {
      hint: `stave inspect ${name} lists its blobs`,
    });
  if (second !== undefined)
    throw new StaveError("USAGE", `${name} has several blobs that start with ${start}`, {
      hint: "write more of the digest",
    });
  return first;
}
