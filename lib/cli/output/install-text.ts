// The text output of an installation: a line per finished spec, a summary, a plan.
import type { InstalledSpec, InstallPlanReport, InstallReport } from "../../ops/install/report.ts";
import { printable } from "../../printable/printable.ts";
import { type Column, count, formatBytes, formatDuration, table } from "./formatting.ts";
import { worthTelling } from "./leftovers.ts";

const shown = ({ name, version, hash }: Pick<InstalledSpec, "name" | "version" | "hash">): string =>
  printable(`${name}@${version}/${hash.slice(0, 7)}`);

/** The line for a finished spec; undefined if nothing was done for it. */
export function installLine(spec: InstalledSpec): string | undefined {
  // The reason is printed once, at the end.
  if (spec.outcome === "failed") return `failed ${shown(spec)}`;
  if (spec.outcome !== "installed") return undefined;
  const { downloadSize = 0, milliseconds = 0, relocated = 0, files = 0, prefix } = spec;
  const rate = milliseconds > 0 ? `, ${formatBytes((downloadSize / milliseconds) * 1000)}/s` : "";
  return `installed ${shown(spec)} ${printable(prefix ?? "")} (${formatBytes(downloadSize)}${rate}, ${count(files, "file")}, ${relocated} relocated)`;
}

/** The summary of an installation, for stdout; with `all`, lists every file that still contains the old place. */
export function installSummary(report: InstallReport, all?: boolean): string {
  const of = (outcome: InstalledSpec["outcome"]): number =>
    report.specs.filter((spec) => spec.outcome === outcome).length;
  const { totals } = report;
  const isNothing = totals.installed === 0 && report.failures.length === 0;
  const parts = [isNothing ? "nothing to install" : `${count(totals.installed, "spec")} installed`];
  if (of("present") > 0) parts.push(`${of("present")} already there`);
  if (of("external") > 0) parts.push(`${count(of("external"), "external")} left to the system`);
  if (of("failed") > 0) parts.push(`${of("failed")} failed`);
  const lines = [`${parts.join(", ")}, in ${formatDuration(report.milliseconds)}`];
  if (totals.installed > 0)
    lines.push(
      `${formatBytes(totals.downloaded)} downloaded, ${formatBytes(totals.bytes)} in ${count(totals.files, "file")} written to ${printable(report.store)}`,
    );
  const left = report.specs
    .map((spec) => ({ spec, files: worthTelling(spec.leftovers ?? [], all) }))
    .filter(({ files }) => files.length > 0);
  const files = left.reduce((sum, each) => sum + each.files.length, 0);
  const hint = all ? ":" : " (--verbose lists them)";
  if (files > 0)
    lines.push(
      `${count(files, "file")} of ${count(left.length, "spec")} ${files === 1 ? "still names" : "still name"} the old place${hint}`,
    );
  if (all)
    for (const each of left) for (const file of each.files) lines.push(`  ${shown(each.spec)} ${printable(file)}`);
  return lines.join("\n");
}

const ACTIONS = { install: "install", keep: "keep", external: "external", absent: "absent" } as const;

/** A plan, for stdout. */
export function installPlanText(plan: InstallPlanReport, width: number | undefined): string {
  const columns: Column[] = [
    { heading: "ACTION" },
    { heading: "SPEC" },
    { heading: "SIZE", right: true },
    { heading: "FROM" },
  ];
  const rows = plan.specs.map((spec) => [
    ACTIONS[spec.action],
    shown(spec),
    spec.size === undefined ? "" : formatBytes(spec.size),
    spec.cache ?? "",
  ]);
  const { install, download } = plan.totals;
  return `${table(columns, rows, width)}${count(install, "spec")} to install into ${printable(plan.store)}, ${formatBytes(download)} to download`;
}
