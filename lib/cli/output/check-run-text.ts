// What people read of a check whether programs will start.
import type { Finding } from "../../loader/finding.ts";
import type { BaseVerdict } from "../../ops/image/check-run.ts";
import { printable } from "../../printable/printable.ts";
import { count, formatBytes } from "./formatting.ts";
import type { Output } from "./output.ts";

/** The lines about one base. */
export function* verdictLines(verdict: BaseVerdict, output: Output): Iterable<string> {
  const { base, system, libc, size, starts, checked, findings } = verdict;
  const { programs, libraries, scripts, unread } = checked;
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const outcome = starts ? output.style("green", "starts") : output.style("red", "does not start");
  const has =
    libc === undefined ? "no C library" : `${libc.kind}${libc.version === undefined ? "" : ` ${libc.version}`}`;
  const about = [...(system === undefined ? [] : [system]), has, ...(base === undefined ? [] : [formatBytes(size)])];
  yield `${base === undefined ? "image" : printable(base)}: ${outcome} (${printable(about.join(", "))})`;
  for (const finding of findings) yield* findingLines(finding, output);
  const counted = [count(programs, "program"), count(libraries, "library", "libraries"), count(scripts, "script")];
  const wrong = [count(errors, "error"), count(findings.length - errors, "warning")];
  const left = unread > 0 ? `, ${count(unread, "unreadable file")}` : "";
  yield `  ${counted.join(", ")} checked${left}: ${wrong.join(", ")}`;
}

/** A finding in one line, without its remedy. */
export function findingText({ code, message, files }: Finding): string {
  const more = files > 1 ? ` (and ${count(files - 1, "more file")})` : "";
  return `${code}: ${printable(message, { most: 2000 })}${more}`;
}

function* findingLines(finding: Finding, output: Output): Iterable<string> {
  const { severity, fix } = finding;
  yield `  ${output.style(severity === "error" ? "red" : "yellow", severity)} ${findingText(finding)}`;
  if (fix !== undefined) yield `    ${printable(fix)}`;
}
