// `stave check-run`: will the programs of an image start?
import { diskCache } from "../../api/machine/cache-folder.ts";
import { referenceOf } from "../../api/places/connection.ts";
import type { TrustOptions } from "../../api/signers/trust.ts";
import { FactsMemory } from "../../loader/facts-memory.ts";
import { hostArchitecture, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { type CandidateBase, checkRun } from "../../ops/image/check-run.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, addTrust, type CommonFlags, collect, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { trustedBase } from "../arguments/trusted-base.ts";
import { verdictLines } from "../output/check-run-text.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, TrustOptions {
  base?: string[];
  platform?: string;
}

const HELP = `
Loads each program of the image as the dynamic loader would, without running it: search paths, the loader's cache and folders,
versions of symbols, interpreters of scripts. With --base, checks the specs of the image over other bases instead of its own, and
names the smallest one over which everything starts. Exits with status 1 if there is none, or if the image itself would not start.

Reads lists of files and headers of programs, and remembers them in $XDG_CACHE_HOME/stave.

Examples:
  stave check-run ghcr.io/org/app:1
  stave check-run oci-layout:./images:app --base debian:12-slim --base debian:11-slim --base alpine:3`;

/** The command `stave check-run`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("check-run", "check whether the programs of an image will start")
    .argument("<image>", "an image that Spack or stave pushed")
    .option("--base <image>", "check over this base image (may be repeated)", collect)
    .option("--platform <os/arch>", "check this platform's image of an index");
  addTrust(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const location = parseLocation(text);
    const names = flags.base ?? [];
    const platform = parsePlatform(flags.platform ?? `linux/${hostArchitecture(context.arch)}`);
    const places = [location, ...names.map(parseLocation)];
    await using opener = await openNetwork({ context, output, flags, places });
    const { signal } = context;
    const bases: CandidateBase[] = [];
    for (const name of names) bases.push(await trustedBase(name, opener, { context, output, flags }));
    const target = await opener.read(location);
    const report = await checkRun(target, await referenceOf(location, target, signal), {
      platform,
      bases,
      memory: new FactsMemory(diskCache(context)),
      progress: output.progress,
      signal,
    });
    for (const verdict of report.verdicts) for (const line of verdictLines(verdict, output)) output.print(line);
    if (bases.length > 1)
      output.print(report.recommended === undefined ? "no base fits" : `recommended: ${report.recommended}`);
    output.detail(report.limits);
    output.report(report);
    return report.verdicts.some(({ starts }) => starts) ? 0 : 1;
  });
};
