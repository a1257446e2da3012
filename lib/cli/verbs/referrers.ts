// `stave referrers`: lists what refers to an image.
import { referenceOf } from "../../api/places/connection.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseLocation } from "../../oci/reference.ts";
import { printable } from "../../printable/printable.ts";
import { PREDICATE_ANNOTATION } from "../../sign/signature/attach.ts";
import { SIGNATURE_PREDICATE } from "../../sign/statement/statement.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { fittingDigest, formatBytes, table } from "../output/formatting.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  artifactType?: string;
}

/** The report of `referrers`. */
interface ReferrersReport {
  readonly name: string;
  readonly subject: Digest;
  readonly referrers: readonly Descriptor[];
}

const HELP = `
Lists signatures, SBOMs and other artifacts whose subject is the image, from the referrers API or the fallback tag.

Examples:
  stave referrers ghcr.io/org/app:1
  stave referrers ghcr.io/org/app:1 --artifact-type application/vnd.dev.sigstore.bundle.v0.3+json`;

/** The command `stave referrers`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("referrers", "list what refers to an image, such as signatures")
    .argument("<image>", "the image or index")
    .option("--artifact-type <type>", "only artifacts of this type");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string], Flags>(command, state, async (context, output, flags, text) => {
    const { signal } = context;
    const { artifactType } = flags;
    const location = parseLocation(text);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const reference = await referenceOf(location, target, signal);
    const { descriptor } = await target.fetchManifest(reference, { signal });
    const referrers = await target.referrers(descriptor.digest, { artifactType, signal });
    if (referrers.length === 0) output.note(`nothing refers to ${descriptor.digest}`);
    else
      output.print(
        table(
          [{ heading: "SIZE", right: true }, { heading: "KIND" }, { heading: "REFERRER" }],
          referrers.map((one) => [formatBytes(one.size), kindOf(one), fittingDigest(one.digest, output.columns)]),
          output.columns,
        ),
      );
    const report: ReferrersReport = { name: target.name, subject: descriptor.digest, referrers };
    output.report(report);
    return 0;
  });
};

/** The names of what Sigstore's bundles state, by the start of the predicate type. */
const STATEMENTS: readonly (readonly [start: string, kind: string])[] = [
  [SIGNATURE_PREDICATE, "signature"],
  ["https://spdx.dev/Document", "SBOM (SPDX)"],
  ["https://cyclonedx.org/bom", "SBOM (CycloneDX)"],
  ["https://slsa.dev/provenance/", "provenance"],
];

// What a registry says of an artifact; nothing of it is verified here.
function kindOf({ annotations, artifactType, mediaType }: Descriptor): string {
  const stated = annotations?.[PREDICATE_ANNOTATION];
  const known = STATEMENTS.find(([start]) => stated?.startsWith(start) === true);
  return known?.[1] ?? printable(stated ?? artifactType ?? mediaType, { most: 120 });
}
