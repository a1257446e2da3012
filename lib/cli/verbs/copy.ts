// `stave copy`: an image or a whole repository between registries and directories.

import { StaveError } from "../../errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Location } from "../../oci/reference.ts";
import { formatLocation, parseLocation } from "../../oci/reference.ts";
import { type CopyImagesReport, copyImages } from "../../ops/image/copy.ts";
import { Opener, referenceOf } from "../arguments/open.ts";
import { addJobs, addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { count, formatBytes, formatDuration } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  allTags?: boolean;
  platform?: string;
  referrers?: boolean;
  jobs: number;
}

const HELP = `
Copies everything the image is made of; what the destination already has is not sent again, and what another
repository of the same registry has is mounted. The tag is put last. Without a tag in DST, the one of SRC is used.

Examples:
  stave copy ghcr.io/org/app:1 oci-layout:./images:app
  stave copy oci-layout:./images:app localhost:5000/app:1
  stave copy --platform linux/arm64 ghcr.io/org/app:1 oci-layout:./arm
  stave copy --all-tags ghcr.io/org/app oci-layout:./mirror`;

export const verb: VerbFactory = (state) => {
  const command = verbCommand("copy", "copy an image between registries and directories")
    .argument("<src>", "image to copy, or with --all-tags the repository or directory")
    .argument("<dst>", "where to")
    .option("--all-tags", "copy every tag of SRC; those that fail do not stop the others")
    .option("--platform <os/arch>", "copy only the image of this platform out of an index")
    .option("--referrers", "copy what refers to the image too: signatures, SBOMs");
  addJobs(command, "most blobs under way at once", 4);
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string, string], Flags>(command, state, async (context, output, flags, from, to) => {
    const source = parseLocation(from);
    const destination = parseLocation(to);
    refuseDigest(destination);
    if (flags.allTags) refuseTags(source, destination);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    const opener = new Opener(context, output, flags);
    const started = context.clock.now();
    try {
      const sourceTarget = await opener.read(source);
      const reference = flags.allTags ? undefined : await referenceOf(source, sourceTarget, context.signal);
      const tag = flags.allTags
        ? undefined
        : ((destination.kind === "layout" ? destination.tag : destination.reference.tag) ?? tagIn(source, reference));
      const report = await copyImages(sourceTarget, await opener.write(destination), {
        reference,
        tag,
        platform,
        referrers: flags.referrers,
        concurrency: flags.jobs,
        progress: output.progress,
        signal: context.signal,
      });
      output.print(summary(report, destination, context.clock.now() - started));
      output.report(report);
      return 0;
    } finally {
      await opener.close();
    }
  });
};

function summary(report: CopyImagesReport, destination: Location, milliseconds: number): string {
  const lines = report.images.map(({ tag, digest }) => `${formatLocation(named(destination, tag, digest))} ${digest}`);
  const { manifests, blobs, bytes } = report;
  const parts = [
    `${count(manifests.copied, "manifest")} and ${count(blobs.copied, "blob")} copied (${formatBytes(bytes)})`,
  ];
  if (blobs.mounted > 0) parts.push(`${count(blobs.mounted, "blob")} mounted`);
  const there = blobs.skipped + manifests.skipped;
  if (there > 0) parts.push(`${there} already there`);
  return `${lines.join("\n")}\n${parts.join(", ")}, in ${formatDuration(milliseconds)}`;
}

/** An image by its tag, or by its digest when it has none. */
function named(location: Location, tag: string | undefined, known: Digest): Location {
  const digest = tag === undefined ? known : undefined;
  if (location.kind === "layout") return { ...location, tag, digest };
  return { ...location, reference: { ...location.reference, tag, digest } };
}

/** The tag under which the source was found, when it was a tag. */
function tagIn(source: Location, reference: string | undefined): string | undefined {
  const { tag } = source.kind === "layout" ? source : source.reference;
  return tag ?? (reference?.includes(":") ? undefined : reference);
}

function refuseDigest(destination: Location): void {
  const { digest } = destination.kind === "layout" ? destination : destination.reference;
  if (digest !== undefined)
    throw new StaveError("USAGE", "the destination of a copy is a tag: its digest follows from the source", {
      hint: "leave @sha256:… out of the second argument",
    });
}

function refuseTags(...locations: Location[]): void {
  for (const location of locations) {
    const { tag, digest } = location.kind === "layout" ? location : location.reference;
    if (tag !== undefined || digest !== undefined)
      throw new StaveError("USAGE", `--all-tags takes repositories, not one image: ${formatLocation(location)}`, {
        hint: "leave the tag out",
      });
  }
}
