// An installation as people read it: a line for each spec as it is done, sums at the end, a plan.
import type { InstalledSpec, InstallPlanReport, InstallReport } from "../ops/install-report.ts";
import { printable } from "../util/text.ts";
import { type Column, count, formatBytes, formatDuration, table } from "./text.ts";

const shown = ({ name, version, hash }: Pick<InstalledSpec, "name" | "version" | "hash">): string =>
  printable(`${name}@${version}/${hash.slice(0, 7)}`);

/** The line of a spec that was worked on; undefined for one that was left alone. */
export function installLine(spec: InstalledSpec): string | undefined {
  if (spec.outcome === "failed")
    return `failed ${shown(spec)}${spec.error ? `: ${printable(spec.error.message)}` : ""}`;
  if (spec.outcome !== "installed") return undefined;
  const { downloadSize = 0, milliseconds = 0, relocated = 0, files = 0, prefix } = spec;
  const rate = milliseconds > 0 ? `, ${formatBytes((downloadSize / milliseconds) * 1000)}/s` : "";
  return `installed ${shown(spec)} ${printable(prefix ?? "")} (${formatBytes(downloadSize)}${rate}, ${count(files, "file")}, ${relocated} relocated)`;
}

/** The end of an installation, for stdout. */
export function installSummary(report: InstallReport): string {
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
  const left = report.specs.filter(({ leftovers = [] }) => leftovers.length > 0);
  for (const spec of left.slice(0, 10)) {
    const { leftovers = [] } = spec;
    const more = leftovers.length > 1 ? ` and ${leftovers.length - 1} more` : "";
    lines.push(`${shown(spec)} still names its old place in ${printable(leftovers[0] ?? "")}${more}`);
  }
  if (left.length > 10) lines.push(`… and ${left.length - 10} more specs; --json lists them all`);
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
