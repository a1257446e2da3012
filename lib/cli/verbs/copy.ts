// `stave copy`: copies an image or a whole repository between registries and directories.

import { checkCopy, copyBetween, copyPlaces } from "../../api/open-target.ts";
import type { TrustOptions } from "../../api/trust.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import type { Location } from "../../oci/reference.ts";
import { formatLocation } from "../../oci/reference.ts";
import type { CopyImagesReport } from "../../ops/image/copy.ts";
import { openNetwork } from "../arguments/open.ts";
import {
  addDryRun,
  addJobs,
  addTransport,
  addTrust,
  type CommonFlags,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { remindToSign } from "../arguments/sign-reminder.ts";
import { count, formatBytes, formatDuration } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, TrustOptions {
  allTags?: boolean;
  platform?: string;
  referrers?: boolean;
  verify?: boolean;
  dryRun?: boolean;
  jobs: number;
}

const HELP = `
Copies the image with all its content. Skips content that the destination already has, and mounts content that another
repository of the same registry has. Writes the tag last. If DST has no tag, it gets the tag of SRC. SRC may also be an
archive that docker, podman, skopeo or stave wrote.

Examples:
  stave copy ghcr.io/org/app:1 oci-layout:./images:app
  stave copy oci-layout:./images:app localhost:5000/app:1
  stave copy --platform linux/arm64 ghcr.io/org/app:1 oci-layout:./arm
  stave copy docker-archive:app.tar ghcr.io/org/app:1
  stave copy --all-tags ghcr.io/org/app oci-layout:./mirror`;

/** The command `stave copy`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("copy", "copy an image between registries and directories")
    .argument("<src>", "the image; with --all-tags, the repository or directory")
    .argument("<dst>", "the destination")
    .option("--all-tags", "copy every tag of SRC; continue after a tag fails")
    .option("--platform <os/arch>", "copy only this platform's image of an index")
    .option("--referrers", "also copy signatures, SBOMs and other referrers of the image");
  command.option("--verify", "copy the image only if the trust policy lets it pass");
  addJobs(command, "how many blobs to copy at once", 4);
  addTransport(addTrust(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string, string], Flags>(command, state, async (context, output, flags, from, to) => {
    const places = copyPlaces(from, to);
    const { source, destination } = places;
    checkCopy(places, flags);
    await using opener = await openNetwork({ context, output, flags, places: [source, destination] });
    const { transport } = opener;
    const use = { around: context, options: flags, transport, onWarning: (text: string) => output.warn(text) };
    const started = context.clock.now();
    const progress = flags.dryRun ? undefined : output.progress;
    const report = await copyBetween(opener, places, { ...flags, progress, signal: context.signal, use });
    const milliseconds = flags.dryRun ? undefined : context.clock.now() - started;
    output.print(summary(report, destination, milliseconds));
    // With all tags, the lists and signatures under tags are copied, too, but what has no tag is not.
    const [only] = report.images;
    const isRenamed =
      only !== undefined && only.tag !== undefined && !isDigest(only.source) && only.tag !== only.source;
    const renamed = "signatures of stave name the tag, and this is another one";
    const what = flags.referrers ? renamed : "the copy has no signatures";
    if (!flags.dryRun && (isRenamed || !flags.referrers))
      await remindToSign(destination, { kind: "images", what }, { context, output, flags });
    output.report(report);
    return 0;
  });
};

function summary(report: CopyImagesReport, destination: Location, milliseconds: number | undefined): string {
  const lines = report.images.map(({ tag, digest }) => `${formatLocation(named(destination, tag, digest))} ${digest}`);
  const { manifests, blobs, bytes } = report;
  const done = milliseconds === undefined ? "to copy" : "copied";
  const parts = [
    `${count(manifests.copied, "manifest")} and ${count(blobs.copied, "blob")} ${done} (${formatBytes(bytes)})`,
  ];
  if (blobs.mounted > 0)
    parts.push(`${count(blobs.mounted, "blob")} ${milliseconds === undefined ? "to mount" : "mounted"}`);
  const there = blobs.skipped + manifests.skipped;
  if (there > 0) parts.push(`${there} already there`);
  return `${lines.join("\n")}\n${parts.join(", ")}${milliseconds === undefined ? "" : `, in ${formatDuration(milliseconds)}`}`;
}

/** The location of an image by its tag, or by its digest if it has none. */
function named(location: Location, tag: string | undefined, known: Digest): Location {
  const digest = tag === undefined ? known : undefined;
  if (location.kind === "layout") return { ...location, tag, digest };
  return { ...location, reference: { ...location.reference, tag, digest } };
}
