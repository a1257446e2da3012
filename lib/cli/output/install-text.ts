// The text output of an installation: a line per finished spec, a summary, a plan.
import type { InstalledSpec, InstallPlanReport, InstallReport } from "../../ops/install/report.ts";
import { printable } from "../../printable/printable.ts";
import { type Column, count, formatBytes, formatDuration, table } from "./formatting.ts";
import { isHarmless } from "./leftovers.ts";

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
  lines.push(...leftoverLines(report, all));
  return lines.join("\n");
}

/** The most files that still contain the old place that a summary names. */
const NAMED = 3;

// The same command finds nothing to do a second time, so the first files are named at once.
function leftoverLines({ specs }: InstallReport, all: boolean | undefined): string[] {
  const left = specs.flatMap((spec) => (spec.leftovers ?? []).map((file) => ({ spec, file })));
  const [told, harmless] = [left.filter(({ file }) => !isHarmless(file)), left.filter(({ file }) => isHarmless(file))];
  const line = ({ spec, file }: (typeof left)[number]): string => `${shown(spec)} ${printable(file)}`;
  const lines: string[] = [];
  if (told.length > 0) {
    const of = count(new Set(told.map(({ spec }) => spec)).size, "spec");
    const head = `${count(told.length, "file")} of ${of} ${told.length === 1 ? "still names" : "still name"} the old place:`;
    const more = told.length > NAMED ? ` and ${told.length - NAMED} more` : "";
    if (all) lines.push(head, ...told.map((each) => `  ${line(each)}`));
    else lines.push(`${head} ${told.slice(0, NAMED).map(line).join(", ")}${more}`);
  }
  if (all && harmless.length > 0)
    lines.push(
      `${count(harmless.length, "static library or compiled Python file names", "static libraries and compiled Python files name")} it, too, which is harmless:`,
      ...harmless.map((each) => `  ${line(each)}`),
    );
  return lines;
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
