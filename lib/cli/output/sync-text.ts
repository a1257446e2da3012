// The report of a sync as text.
import type { SyncedSpec, SyncReport } from "../../ops/sync/sync.ts";
import { printable } from "../../printable/printable.ts";
import { count, formatBytes } from "./formatting.ts";
import type { Output } from "./output.ts";

type Mark = [mark: string, style: "green" | "red" | "yellow"];
const FAILED: Mark = ["failed", "red"];
const MARKS: Partial<Record<SyncedSpec["outcome"], Mark>> = {
  copied: ["+", "green"],
  linked: ["+", "green"],
  "to copy": ["+", "green"],
  absent: ["absent", "yellow"],
};

/** The lines that show a sync: each spec that was copied or could not be, and a summary. */
export function* syncText(report: SyncReport, output: Output): Iterable<string> {
  const { specs, sentBytes, removed, isDryRun, from, failures } = report;
  const sum = (...outcomes: SyncedSpec["outcome"][]): number =>
    specs.filter(({ outcome }) => outcomes.includes(outcome)).length;
  // Errors that are printed afterwards name their specs, unless several share one.
  const areNamed = failures.length === sum("failed");
  for (const { name, version, hash, outcome } of specs) {
    const mark = outcome === "failed" && !areNamed ? FAILED : MARKS[outcome];
    if (mark !== undefined)
      yield `${output.style(mark[1], mark[0])} ${printable(`${name}@${version}/${hash.slice(0, 7)}`)}`;
  }
  for (const tag of removed) yield `${output.style("red", "-")} ${printable(tag)}`;
  const done = sum("copied", "linked", "to copy");
  const parts = [`${count(done, "spec")} ${isDryRun ? "to copy" : "copied"}, ${formatBytes(sentBytes)}`];
  parts.push(`${sum("present")} already there`);
  if (sum("absent") > 0) parts.push(`${sum("absent")} not in ${printable(from)}`);
  if (removed.length > 0) parts.push(`${removed.length} ${isDryRun ? "to remove" : "removed"}`);
  yield parts.join(", ");
}
