// The report of a sync as text.
import type { SyncedSpec, SyncReport } from "../../ops/sync/sync.ts";
import { printable } from "../../printable/printable.ts";
import { count, formatBytes } from "./formatting.ts";
import type { Output } from "./output.ts";

const MARKS: Partial<Record<SyncedSpec["outcome"], [mark: string, style: "green" | "red" | "yellow"]>> = {
  copied: ["+", "green"],
  linked: ["+", "green"],
  "to copy": ["+", "green"],
  absent: ["absent", "yellow"],
  failed: ["failed", "red"],
};

/** The lines that show a sync: each spec that was copied or could not be, and a summary. */
export function* syncText({ specs, sentBytes, removed, isDryRun, from }: SyncReport, output: Output): Iterable<string> {
  for (const { name, version, hash, outcome } of specs) {
    const mark = MARKS[outcome];
    if (mark !== undefined)
      yield `${output.style(mark[1], mark[0])} ${printable(`${name}@${version}/${hash.slice(0, 7)}`)}`;
  }
  for (const tag of removed) yield `${output.style("red", "-")} ${printable(tag)}`;
  const sum = (...outcomes: SyncedSpec["outcome"][]): number =>
    specs.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const done = sum("copied", "linked", "to copy");
  const parts = [`${count(done, "spec")} ${isDryRun ? "to copy" : "copied"}, ${formatBytes(sentBytes)}`];
  parts.push(`${sum("present")} already there`);
  if (sum("absent") > 0) parts.push(`${sum("absent")} not in ${printable(from)}`);
  if (removed.length > 0) parts.push(`${removed.length} ${isDryRun ? "to remove" : "removed"}`);
  yield parts.join(", ");
}
