// `stave config`: shows the parts of Spack's configuration that stave uses, and the file each comes from.

import { SpackFiles, type SpackFlags } from "../../api/from-spack/spack-files.ts";
import { printable } from "../../printable/printable.ts";
import { type DiscoveryReport, discoveryReport } from "../../spack/config/discovery-report.ts";
import { helpText, verbCommand } from "../arguments/shared-flags.ts";
import { addSpack } from "../arguments/spack-options.ts";
import type { Output, OutputOptions } from "../output/output.ts";
import { bindAction, type VerbFactory } from "./verb.ts";

const HELP = `
Only reads Spack's files; does not run Spack or use the network. Secrets are never shown.

Examples:
  stave config
  stave config -e ./my-env --json
  stave config --spack /opt/spack -C ./more-config`;

/** The command `stave config`. */
export const verb: VerbFactory = (state) => {
  const command = verbCommand("config", "show the Spack configuration that stave found, and where");
  addSpack(command).addHelpText("after", helpText(HELP));
  return bindAction<[], OutputOptions & SpackFlags>(command, state, async (context, output, flags) => {
    const report = discoveryReport(new SpackFiles(context, flags).discovery);
    for (const line of render(report, output)) output.print(line);
    output.report(report);
    return 0;
  });
};

function* render(report: DiscoveryReport, output: Output): Iterable<string> {
  const field = (name: string, value: string, from?: string) =>
    `${output.style("bold", name.padEnd(14))} ${printable(value)}${from === undefined ? "" : output.style("dim", `  (${printable(from)})`)}`;
  const { spack, environment, store, connectTimeout, verifyTls, certificates } = report;
  yield spack ? field("spack", `${spack.root}, version ${spack.version}`, spack.from) : field("spack", "none found");
  yield environment
    ? field("environment", `${environment.name}: ${environment.folder}`, environment.lock ?? "not concretized")
    : field("environment", "none");
  yield store ? field("store", store.root, store.from) : field("store", "unknown; name it with --store DIR");
  for (const [query, format] of store?.projections ?? []) yield field("projection", `${query}: ${format}`);
  for (const upstream of report.upstreams) yield field("upstream", `${upstream.name}: ${upstream.root}`, upstream.from);
  for (const { name, from, unsetVariables, ...rest } of report.mirrors) {
    yield field("mirror", `${name}: ${JSON.stringify(rest)}`, from);
    if (unsetVariables.length > 0) yield field("", `credentials incomplete: ${unsetVariables.join(", ")} not set`);
  }
  if (connectTimeout) yield field("timeout", `${connectTimeout.value} s`, connectTimeout.from);
  if (verifyTls) yield field("verify TLS", String(verifyTls.value), verifyTls.from);
  if (certificates) yield field("certificates", certificates.value, certificates.from);
  yield field(
    "locks",
    report.locks.isEnabled ? `give up on the database lock after ${report.locks.databaseTimeout} s` : "off",
  );
  for (const { name, parts, from } of report.toolchains)
    yield field(
      "toolchain",
      `${name}: ${parts.map(({ spec, when }) => (when === null ? spec : `${spec} when ${when}`)).join("; ")}`,
      from,
    );
  for (const { name, path, files } of report.scopes)
    yield field("scope", `${name}: ${path ?? "(built in)"}`, files.length === 0 ? undefined : files.join(", "));
  for (const note of report.notes) yield field("note", note.value, note.from);
}
