// What the runner of GitHub Actions and this action say to each other. No dependencies: these files run as they are.
import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";

const { env } = process;

/** The value of an input; empty if it has none. */
export const input = (name) => (env[`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`] ?? "").trim();

/** The lines of an input that are not empty. */
export const lines = (name) =>
  input(name)
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");

const append = (variable, text) => {
  const file = env[variable];
  if (file) appendFileSync(file, text);
};

// A delimiter that is not in the value: a value of several lines must not define another variable.
const assignment = (name, value) => {
  const end = `end-${randomUUID()}`;
  if (name.includes(end) || value.includes(end)) throw new Error("a value contains the delimiter");
  return `${name}<<${end}\n${value}\n${end}\n`;
};

// A job may have 1 MB of outputs, in two bytes a character; with more of them it fails.
const LONGEST_OUTPUT = 400_000;

/** Sets an output of the step; a value that is too long for one is left out, and the log says so. */
export const setOutput = (name, value) => {
  const text = String(value);
  if (text.length <= LONGEST_OUTPUT) append("GITHUB_OUTPUT", assignment(name, text));
  else command("warning", `the output ${name} is left out: it has ${text.length} characters, and GitHub allows fewer`);
};
export const setState = (name, value) => append("GITHUB_STATE", assignment(name, String(value)));
export const state = (name) => env[`STATE_${name}`] ?? "";
export const exportVariable = (name, value) => {
  append("GITHUB_ENV", assignment(name, value));
  env[name] = value;
};
export const addPath = (folder) => append("GITHUB_PATH", `${folder}\n`);

const escaped = (text) => text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");

/** Writes a command of the runner: `error`, `notice`, `add-mask`. */
export const command = (name, text) => process.stdout.write(`::${name}::${escaped(String(text))}\n`);

/** Writes a line to the log in which the runner finds no command: `::NAME` at its start, or `##[NAME]` anywhere. */
export const print = (text) =>
  process.stdout.write(`${text.replaceAll(/\s/g, " ").replaceAll("##[", "##\\[").replace(/^ *(?=::)/, "$&\\")}\n`);

/** Runs an action; a failure is an annotation and the exit status. */
export async function runAction(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    command("error", error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
