// `stave rebase`: puts a pushed image onto another base.
import { diskCache } from "../../api/machine/cache-folder.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { rebasedTag } from "../../api/places/image-places.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { StaveError } from "../../errors.ts";
import { fullReference } from "../../image/base-image-reader.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { formatLocation, parseLocation, withTag } from "../../oci/reference.ts";
import { imagesOnBase, rebase } from "../../ops/push/rebase.ts";
import { openNetwork } from "../arguments/open.ts";
import {
  addDryRun,
  addTransport,
  addTrust,
  type CommonFlags,
  helpText,
  verbCommand,
} from "../arguments/shared-flags.ts";
import { remindToSign } from "../arguments/sign-reminder.ts";
import { trustedBase } from "../arguments/trusted-base.ts";
import { findingText } from "../output/check-run-text.ts";
import { count, shortDigest } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, TrustOptions {
  onto: string;
  from?: string;
  tag?: string;
  platform?: string;
  checkRun: boolean;
  outdated?: boolean;
  dryRun?: boolean;
}

const HELP = `
The layers of specs stay as they are; no spec is packed or sent. Variables, labels, the user and so on that the image has from its old base are
exchanged for those of the new one; what the image set itself stays. Before the tag is written, stave checks that
the programs will start, and records the base (org.opencontainers.image.base.digest and .name).

With --outdated, IMAGE is a repository: lists its images that stand on an older image of this base, and exits with status 1 if
there are any.

Examples:
  stave rebase ghcr.io/org/app:1 --onto debian:12-slim
  stave rebase ghcr.io/org/app:1 --onto debian:13-slim --tag 1-debian13
  stave rebase ghcr.io/org/app --onto debian:12-slim --outdated`;

/** The command `stave rebase`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("rebase", "put a pushed image onto another base image")
    .argument("<image>", "an image that stave pushed; with --outdated, the repository or directory")
    .requiredOption("--onto <base>", "the new base image")
    .option("--from <base>", "the image's current base, if the image does not record it")
    .option("-t, --tag <tag>", "write this tag instead of that of the image")
    .option("--platform <os/arch>", "take this platform's image of an index; needs --tag")
    .option("--no-check-run", "do not check that the programs will start")
    .option("--outdated", "list the images that stand on an older image of the base");
  addTransport(addTrust(addDryRun(command))).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal } = context;
    const location = parseLocation(text);
    const onto = parseLocation(flags.onto);
    const from = flags.from === undefined ? undefined : parseLocation(flags.from);
    const places = [location, onto, ...(from ? [from] : [])];
    await using opener = await openNetwork({ context, output, flags, places });
    const use = { context, output, flags };
    const source = await trustedBase(flags.onto, opener, use);
    if (flags.outdated) {
      const fullName = fullReference(flags.onto);
      if (fullName === undefined)
        throw new StaveError("USAGE", "images do not record a base in a directory", {
          hint: "name the base in a registry with --onto",
        });
      const images = await imagesOnBase(await opener.read(location), { ...source, fullName }, { signal });
      for (const { tag, platform, baseDigest, isOutdated } of images)
        output.print(
          `${isOutdated ? output.style("yellow", "outdated") : "current "} ${tag} (${platform}, on ${shortDigest(baseDigest)})`,
        );
      const outdated = images.filter(({ isOutdated }) => isOutdated).length;
      output.print(`${outdated} of ${count(images.length, "image")} on ${fullName} stand on an older one`);
      output.report({ base: fullName, images });
      return outdated > 0 ? 1 : 0;
    }
    const target = flags.dryRun ? await opener.change(location) : await opener.write(location);
    const reference = await referenceOf(location, target, signal);
    const report = await rebase(target, reference, {
      onto: source,
      from: flags.from === undefined ? undefined : await trustedBase(flags.from, opener, use),
      tag: rebasedTag(flags, reference),
      platform: flags.platform === undefined ? undefined : parsePlatform(flags.platform),
      checkRun: flags.checkRun,
      dryRun: flags.dryRun,
      memory: new FactsMemory(diskCache(context)),
      progress: output.progress,
      signal,
    });
    for (const finding of report.findings) output.warn(findingText(finding));
    const notWritten = report.from === report.to ? " (unchanged)" : " (not written)";
    const place = formatLocation(withTag(location, report.tag));
    output.print(`${place} ${report.to}${report.isWritten ? "" : notWritten}`);
    output.print(`${count(report.layers, "layer")} of specs on ${flags.onto}@${report.newBase}`);
    if (report.isWritten) {
      const what = "the new image has no signature";
      await remindToSign(withTag(location, report.tag), { kind: "images", what }, { context, output, flags: {} });
    }
    output.report(report);
    return 0;
  });
};
