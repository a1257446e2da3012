// `stave copy`: copies an image or a whole repository between registries and directories.

import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { checkCopy, copyBetween, copyPlaces } from "../../api/functions/open-target.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { aggregate, StaveError } from "../../errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import type { Location } from "../../oci/reference.ts";
import { formatLocation } from "../../oci/reference.ts";
import type { CopyImagesReport } from "../../ops/image/copy.ts";
import { type SyncReport, sync } from "../../ops/sync/sync.ts";
import { readCache, writeCache } from "../arguments/cache-location.ts";
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
import type { Context } from "../machine/context.ts";
import { count, formatBytes, formatDuration } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { syncText } from "../output/sync-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags, TrustOptions {
  allTags?: boolean;
  match?: string;
  platform?: string;
  referrers?: boolean;
  verify?: boolean;
  dryRun?: boolean;
  jobs: number;
  baseDir?: string;
  specYaml?: string;
  destinationUrl?: string;
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
  stave copy --all-tags ghcr.io/org/app oci-layout:./mirror
  stave copy --all-tags --match 'app-*' --dry-run ghcr.io/org/cache oci-layout:./mirror`;

/** The command `stave copy`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("copy", "copy an image between registries and directories")
    .argument("[src]", "the image; with --all-tags, the repository or directory")
    .argument("[dst]", "the destination")
    .addOption(new Option("--base-dir <dir>", "copy a spec of this mirror, as Spack's former command").hideHelp())
    .addOption(new Option("--spec-yaml <file>", "with --base-dir, the spec").hideHelp())
    .addOption(new Option("--destination-url <url>", "with --base-dir, the mirror to copy to").hideHelp())
    .option("--all-tags", "copy every tag of SRC; continue after a tag fails")
    .option("--match <glob>", "with --all-tags, only the tags that match, for example 'app-*'")
    .option("--platform <os/arch>", "copy only this platform's image of an index")
    .option("--referrers", "also copy signatures, SBOMs and other referrers of the image");
  command.option("--verify", "copy the image only if the trust policy lets it pass");
  addJobs(command, "how many blobs to copy at once", 4);
  addTransport(addTrust(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string?, string?], Flags>(command, state, async (context, output, flags, from, to) => {
    const { baseDir, specYaml, destinationUrl } = flags;
    if (baseDir !== undefined || specYaml !== undefined || destinationUrl !== undefined) {
      const report = await copySpec({ context, output, flags });
      output.report(report);
      return report.specs.some(({ outcome }) => outcome === "absent") ? 1 : 0;
    }
    if (from === undefined || to === undefined)
      throw new StaveError("USAGE", `missing required argument '${from === undefined ? "src" : "dst"}'`, {
        hint: "usage: stave copy [OPTIONS] SRC DST",
      });
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

// `buildcache copy` of Spack 0.15 copies the files of one spec between mirrors.
async function copySpec({
  context,
  output,
  flags,
}: {
  readonly context: Context;
  readonly output: Output;
  readonly flags: Flags;
}): Promise<SyncReport> {
  const { baseDir, specYaml, destinationUrl } = flags;
  if (baseDir === undefined || specYaml === undefined || destinationUrl === undefined)
    throw new StaveError("USAGE", "--base-dir, --spec-yaml and --destination-url belong together", {
      hint: "or copy specs with `stave sync SRC DST SPEC`",
    });
  const files = new SpackFiles(context, flags);
  const [asked] = await files.specs([specYaml]);
  const run = { context, output, flags, files };
  await using source = await readCache(baseDir, run);
  await using opened = await writeCache(destinationUrl, run, { create: true });
  const nodes = asked?.document ? [asked.document.root] : [];
  const { signal, clock } = context;
  const report = await sync(source.cache, opened.cache, { nodes, jobs: flags.jobs, now: clock.now(), signal });
  for (const line of syncText(report, output)) output.print(line);
  if (report.failures.length > 0) throw aggregate([...report.failures], "specs");
  return report;
}

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
