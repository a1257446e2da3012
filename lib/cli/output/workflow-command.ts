// Commands to the runner of GitHub Actions: lines of the log that it obeys. It obeys `::NAME::` at the start of a line,
// after blanks, and `##[NAME]` anywhere in one; text from outside must not contain either.
import { printableLines } from "../../printable/printable.ts";

/** True in a workflow of GitHub Actions. */
export function isWorkflow(env: Readonly<Record<string, string | undefined>>): boolean {
  return env["GITHUB_ACTIONS"] === "true";
}

/**
 * Stands for the `::` at the start of the commands made here; text from outside cannot guess it. Made for the first
 * command, because loading the cryptography takes time.
 */
let commandMark: string | undefined;

/**
 * The line of a command: `group` starts a part of the log, `error` annotates the run. Only `inLog` makes it one that
 * the runner obeys.
 */
export function workflowCommand(name: "group" | "endgroup" | "error", text: string): string {
  commandMark ??= `<${crypto.randomUUID()}>`;
  return `${commandMark}${name}::${escaped(text)}`;
}

/** Text for the log of a workflow: the runner obeys the commands made here and no others. */
export function inLog(text: string): string {
  const harmless = text.replaceAll("##[", "##\\[").replaceAll(/^[^\S\n]*(?=::)/gm, "$&\\");
  return commandMark === undefined ? harmless : harmless.replaceAll(commandMark, "::");
}

// Workflow commands are lines; percent signs and line ends are escaped (GitHub Actions toolkit, "escapeData"). Secrets
// go before that, because an escaped one is not recognized.
function escaped(text: string): string {
  return printableLines(text).replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
