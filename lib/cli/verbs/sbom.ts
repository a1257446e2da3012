// `stave sbom`: prints what an image or specs consist of, with licenses and sources.
import { Option } from "commander";
import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { chosenRoots } from "../../api/from-spack/spack-specs.ts";
import { specsSubject } from "../../api/functions/describe.ts";
import { VERSION } from "../../api/machine/stave-version.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { StaveError } from "../../errors.ts";
import { hostArchitecture, parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { imageSbom } from "../../ops/image/sbom.ts";
import { storeSbom } from "../../ops/store/sbom.ts";
import { printable, withoutCommands } from "../../printable/printable.ts";
import { type LicenseRow, SBOM_FORMATS, type Sbom, type SbomFormat } from "../../sbom/bill.ts";
import { sbomReport } from "../../sbom/report.ts";
import { sourceDate } from "../../util/source-date.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Context } from "../machine/context.ts";
import { table } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags, SpackFlags {
  format: SbomFormat;
  licenses?: boolean;
  failOnUnknownLicense?: boolean;
  platform?: string;
}

const HELP = `
Describes an image (HOST/REPO:TAG, oci-layout:DIR:TAG), installed specs, or without arguments the roots of the environment: every
package of the DAG with its dependencies, and licenses, source addresses and checksums as the copies of recipes have them, which are
read as text and not executed. What is not written there is left out, not guessed. Build dependencies are marked as such.

--fail-on-unknown-license exits with status 1 if the license of a package needed at run time is unknown, and names such packages.

Examples:
  stave sbom ghcr.io/org/app:1 > app.spdx.json
  stave sbom hdf5 --format cyclonedx
  stave sbom -e ./my-env --licenses --fail-on-unknown-license`;

/** The command `stave sbom`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("sbom", "print a bill of materials of an image or of specs")
    .argument("[image-or-specs...]", "an image, or installed specs")
    .addOption(new Option("--format <format>", "SPDX 2.3 or CycloneDX 1.6").choices([...SBOM_FORMATS]).default("spdx"))
    .option("--licenses", "print a table of the licenses instead")
    .option("--fail-on-unknown-license", "exit with status 1 if a license is unknown")
    .option("--platform <os/arch>", "describe this platform's image of an index");
  addSpack(addTransport(command)).addHelpText("after", helpText(HELP));
  return bindAction<[string[]], Flags>(command, state, async (context, output, flags, words) => {
    const { format, licenses: isTable } = flags;
    const sbom = await (words.some(isImage) ? ofImage : ofSpecs)(context, output, flags, words);
    const report = sbomReport(sbom, format);
    const { licenses, document } = report;
    if (isTable) output.print(licenseTable(licenses));
    else if (!flags.json) output.printExact(`${withoutCommands(JSON.stringify(document, null, 2))}\n`);
    output.report(report);
    const unknown = licenses.find(({ license }) => license === undefined)?.packages ?? [];
    if (!flags.failOnUnknownLicense || unknown.length === 0) return 0;
    for (const { name, version, hash, problem } of unknown)
      output.warn(
        `the license of ${printable(`${name}@${version}/${hash.slice(0, 7)}`)} is unknown: ${printable(problem ?? "")}`,
      );
    return 1;
  });
};

// Specs may have a slash before a hash, but then no dot or colon that would make a host of what comes before it.
function isImage(word: string): boolean {
  if (/^(?:oci|oci\+http|oci-layout):/.test(word)) return true;
  const [host = "", ...rest] = word.split("/");
  return (
    rest.length > 0 &&
    /^(?:localhost|[\w.-]*\.[\w.-]+|[\w.-]+:\d+|[\w.-]*\.[\w.-]+:\d+)$/.test(host) &&
    !word.startsWith(".")
  );
}

async function ofImage(context: Context, output: Output, flags: Flags, words: readonly string[]): Promise<Sbom> {
  const [word = "", ...more] = words;
  if (more.length > 0)
    throw new StaveError("USAGE", `sbom describes one image or specs, but got ${words.length} arguments`);
  const { signal, clock, env } = context;
  const location = parseLocation(word);
  await using opener = await openNetwork({ context, output, flags, places: [location] });
  const target = await opener.read(location);
  return await imageSbom(target, await referenceOf(location, target, signal), {
    platform: parsePlatform(flags.platform ?? `linux/${hostArchitecture(context.arch)}`),
    created: sourceDate(env) ?? clock.now(),
    tool: VERSION,
    progress: output.progress,
    signal,
  });
}

async function ofSpecs(context: Context, _output: Output, flags: Flags, words: readonly string[]): Promise<Sbom> {
  const files = new SpackFiles(context, flags);
  const store = await files.store();
  const roots = await chosenRoots(files, store, words);
  return storeSbom({ store, roots, subject: specsSubject(roots), created: sourceDate(context.env), tool: VERSION });
}

function licenseTable(rows: readonly LicenseRow[]): string {
  const text = rows.map(({ license, packages }) => [
    license === undefined ? "unknown" : printable(license),
    String(packages.length),
    packages.map(({ name, version }) => printable(`${name}@${version}`)).join(", "),
  ]);
  return table([{ heading: "LICENSE" }, { heading: "PACKAGES", right: true }, { heading: "NAMES" }], text).trimEnd();
}
