// `stave size`: where the bytes of an image are.
import { diskCache } from "../../api/machine/cache-folder.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { hostArchitecture, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { imageSize, type KindSize, type SizeReport } from "../../ops/image/size.ts";
import { printable } from "../../printable/printable.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { count, formatBytes } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  platform?: string;
  rules?: boolean;
}

const HELP = `
Shows the packages of an image, the largest first, with what their files are for, and how much of it running programs do not need:
what \`push --slim\` leaves out. Debug sections are what \`--strip\` would remove as well. Sizes are uncompressed.

Examples:
  stave size ghcr.io/org/app:1
  stave size oci-layout:./stave-cache:app --json`;

/** The command `stave size`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("size", "show where the bytes of an image are")
    .argument("<image>", "the image")
    .option("--platform <os/arch>", "show this platform's image of an index")
    .option("--rules", "also list what a slim image is without, and the packages that it has as a whole");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal } = context;
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const report = await imageSize(target, await referenceOf(location, target, signal), {
      platform: parsePlatform(flags.platform ?? `linux/${hostArchitecture(context.arch)}`),
      memory: new FactsMemory(diskCache(context)),
      progress: output.progress,
      signal,
    });
    for (const line of treeOf(report, output)) output.print(line);
    if (flags.rules) for (const line of rulesOf(report)) output.print(line);
    output.report(report);
    return 0;
  });
};

function* treeOf(report: SizeReport, output: Output): Iterable<string> {
  const { image, bytes, files, compressed, dispensable, debug, packages } = report;
  yield `${formatBytes(bytes).padStart(WIDTH)}  ${printable(image)} (${count(files, "file")}, ${formatBytes(compressed)} compressed)`;
  for (const [at, { name, isBase, kinds, ...one }] of packages.entries()) {
    const isLast = at === packages.length - 1;
    const unneeded = one.dispensable === 0 ? "" : `, ${formatBytes(one.dispensable)} not needed to run`;
    const saved = isBase ? "" : `${unneeded}${one.debug === 0 ? "" : `, ${formatBytes(one.debug)} debug sections`}`;
    yield `${formatBytes(one.bytes).padStart(WIDTH)}  ${isLast ? "└─" : "├─"} ${output.style("bold", printable(name))}${saved}`;
    // What a base consists of is up to its makers.
    const shown = isBase ? [] : kinds.filter(({ bytes: size }) => size > 0);
    for (const [place, kind] of shown.entries()) yield kindLine(kind, isLast ? " " : "│", place === shown.length - 1);
  }
  const more = debug === 0 ? "" : `, and ${formatBytes(debug)} more are debug sections`;
  yield `${formatBytes(dispensable)} of the packages are not needed to run programs${more}`;
}

function* rulesOf({ rules, whole }: SizeReport): Iterable<string> {
  for (const { kind, pattern } of rules) yield `${kind}: ${pattern}`;
  yield `whole: ${whole.join(", ")}`;
}

function kindLine({ kind, bytes, files }: KindSize, trunk: string, isLast: boolean): string {
  return `${formatBytes(bytes).padStart(WIDTH)}  ${trunk}  ${isLast ? "└─" : "├─"} ${kind} (${count(files, "file")})`;
}

const WIDTH = 9;
