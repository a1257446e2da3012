// `stave inspect`: describes the parts of an image.

import { SpackFiles } from "../../api/from-spack/spack-files.ts";
import { askedSpec } from "../../api/from-spack/spack-specs.ts";
import { referenceOf } from "../../api/places/connection.ts";
import { parseMirror } from "../../api/places/mirror-location.ts";
import { StaveError } from "../../errors.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { parseLocation } from "../../oci/reference.ts";
import { type CachedSpecReport, inspectSpec } from "../../ops/cache/inspect-spec.ts";
import { type InspectReport, inspect } from "../../ops/image/inspect.ts";
import { printable } from "../../printable/printable.ts";
import { readCache } from "../arguments/cache-location.ts";
import { openNetwork } from "../arguments/open.ts";
import { addTransport, type CommonFlags, helpText, verbCommand } from "../arguments/shared-flags.ts";
import { fittingDigest, formatBytes, table } from "../output/formatting.ts";
import type { Output } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

interface Flags extends CommonFlags {
  platform?: string;
}

const HELP = `
Shows the manifest, the config, the layers with their sizes and, if Spack or stave pushed the image, its spec.

Examples:
  stave inspect ghcr.io/org/app:1
  stave inspect --platform linux/arm64 docker.io/library/debian:12
  stave inspect oci-layout:./stave-cache:app --json
  stave inspect file:///srv/mirror hdf5                       one spec of a build cache of any kind`;

/** The command `stave inspect`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("inspect", "show an image: manifest, config, layers, spec")
    .argument("<image>", "the image, index or artifact, or with SPEC a build cache")
    .argument("[spec...]", "a spec of the build cache")
    .option("--platform <os/arch>", "show this platform's image of an index");
  addTransport(command).addHelpText("after", helpText(HELP));
  return bindAction<[string, string[]], Flags>(command, state, async (context, output, flags, text, words) => {
    if (words.length > 0) {
      const files = new SpackFiles(context, {});
      const { query, text: asked } = await askedSpec(files, words);
      await using opened = await readCache(text, { context, output, flags, files });
      const report = await inspectSpec(opened.cache, query, asked, { signal: context.signal });
      output.print(describeSpec(report, output));
      output.report(report);
      return 0;
    }
    if (parseMirror(text, context.cwd) !== undefined)
      throw new StaveError("USAGE", `${printable(text)} is a mirror, which has no images`, {
        hint: `name a spec: stave inspect ${printable(text)} SPEC`,
      });
    const location = parseLocation(text);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    await using opener = await openNetwork({ context, output, flags, places: [location] });
    const target = await opener.read(location);
    const reference = await referenceOf(location, target, context.signal);
    const report = await inspect(target, reference, { platform, signal: context.signal });
    output.print(describe(report, output));
    output.report(report);
    return 0;
  });
};

function describeSpec(report: CachedSpecReport, output: Output): string {
  const { cache, name, version, hash, architecture, archive, isSigned, nodes, dependencies } = report;
  const fields: [string, string][] = [
    ["cache", cache],
    ["spec", `${name}@${version} ${architecture}`],
    ["hash", `${hash} (${nodes} nodes in its DAG)`],
    ["archive", `${archive.digest} (${formatBytes(archive.size)})`],
    ["signed", isSigned ? "by gpg, not checked here" : "not by gpg"],
    ["needs", dependencies.length === 0 ? "nothing" : dependencies.join(", ")],
  ];
  return fields.map(([title, value]) => row(title, value, output)).join("\n");
}

function describe(report: InspectReport, output: Output): string {
  const { descriptor, config, spec } = report;
  const settings = config?.config ?? {};
  const fields: [string, string | undefined][] = [
    ["name", report.name],
    ["kind", report.artifactType ? `${report.kind} (${report.artifactType})` : report.kind],
    ["digest", descriptor.digest],
    ["media type", descriptor.mediaType],
    ["config", report.configDescriptor?.digest],
    ["platform", report.platform],
    ["created", config?.created],
    ["size", formatBytes(report.totalSize)],
    ["spec", spec && `${spec.name}@${spec.version} ${spec.architecture}`],
    ["hash", spec && `${spec.hash} (${spec.nodes} nodes in its DAG)`],
    ["entrypoint", settings.Entrypoint?.join(" ")],
    ["command", settings.Cmd?.join(" ")],
    ["user", settings.User || undefined],
    ["working dir", settings.WorkingDir || undefined],
  ];
  const lines = fields.flatMap(([name, value]) => (value === undefined ? [] : [row(name, value, output)]));
  for (const [name, value] of Object.entries(report.annotations))
    lines.push(row("annotation", `${name}: ${value}`, output));
  for (const [name, value] of Object.entries(settings.Labels ?? {}))
    lines.push(row("label", `${name}: ${value}`, output));
  for (const variable of settings.Env ?? []) lines.push(row("env", variable, output));
  const parts = [lines.join("\n")];
  const fitted = (digest: string): string => fittingDigest(digest, output.columns);
  if (report.layers.length > 0)
    parts.push(
      table(
        [{ heading: "#", right: true }, { heading: "SIZE", right: true }, { heading: "LAYER" }, { heading: "TYPE" }],
        report.layers.map(({ size, digest, mediaType }, at) => [
          String(at + 1),
          formatBytes(size),
          fitted(digest),
          mediaType,
        ]),
        output.columns,
      ),
    );
  for (const [heading, entries] of [
    ["ENTRY", report.manifests],
    ["REFERRER", report.referrers],
  ] as const)
    if (entries.length > 0)
      parts.push(
        table(
          [{ heading: "SIZE", right: true }, { heading: "PLATFORM" }, { heading, right: false }, { heading: "TYPE" }],
          entries.map(({ size, platform, digest, mediaType, artifactType }) => [
            formatBytes(size),
            platform ?? "",
            fitted(digest),
            artifactType ?? mediaType,
          ]),
          output.columns,
        ),
      );
  return parts.join("\n\n");
}

function row(name: string, value: string, output: Output): string {
  return `${output.style("bold", name.padEnd(12))} ${printable(value)}`;
}
