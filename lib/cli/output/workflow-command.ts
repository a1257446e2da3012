// Commands to the runner of GitHub Actions: lines of the log that it obeys.
import { printableLines } from "../../printable/printable.ts";

/** True in a workflow of GitHub Actions. */
export function isWorkflow(env: Readonly<Record<string, string | undefined>>): boolean {
  return env["GITHUB_ACTIONS"] === "true";
}

/** The line of a command: `group` starts a part of the log, `error` annotates the run. */
export function workflowCommand(name: "group" | "error", text: string): string {
  return `::${name}::${escaped(text)}`;
}

// Workflow commands are lines; percent signs and line ends are escaped (GitHub Actions toolkit, "escapeData"). Secrets
// go before that, because an escaped one is not recognized.
function escaped(text: string): string {
  return printableLines(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
