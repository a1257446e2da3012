// Runs the built command as a user would: in a process and an environment of its own.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { LOADER } from "./loader.ts";
import { temporaryFolder } from "./tree.ts";

const root = new URL("../..", import.meta.url).pathname;
const command = join(root, "dist/stave.js");

export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
}

const home = temporaryFolder();

function build(): void {
  if (!existsSync(command))
    execFileSync(process.execPath, [...LOADER, "scripts/build.ts", "--bundle-only"], { cwd: root });
}

/** Starts the command, isolated from the user's own configuration. */
export function startStave(args: string[], options: RunOptions = {}): ChildProcess {
  build();
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, XDG_RUNTIME_DIR: join(home, "run"), ...options.env };
  return spawn(process.execPath, [command, ...args], {
    env,
    cwd: options.cwd ?? root,
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** Runs the command to completion. */
export function stave(args: string[], options: RunOptions = {}): Promise<Ran> {
  const child = startStave(args, options);
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  // A command that takes no input may end before it is written.
  child.stdin?.on("error", () => {}).end(options.input ?? "");
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}

/**
 * Runs the command to completion in a terminal, of 100 columns unless told otherwise, created by `script`; returns what
 * the terminal received. `type` presses keys once a text is on the screen.
 */
export async function inTerminal(
  args: string[],
  options: RunOptions & { columns?: number; type?: { after: string; keys: string } } = {},
): Promise<{ status: number | null; output: string }> {
  build();
  const env = { PATH: process.env["PATH"] ?? "", HOME: home, TERM: "xterm", ...options.env };
  // `script` runs the line with $SHELL.
  const shell = options.env?.["SHELL"] === undefined ? [] : [`SHELL='${options.env["SHELL"]}'`];
  const line = [`stty cols ${options.columns ?? 100} rows 40;`, ...shell, process.execPath, command, ...args].join(" ");
  const child = spawn("script", ["-qec", line, "/dev/null"], {
    env: { ...env, SHELL: "/bin/sh" },
    cwd: options.cwd ?? root,
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  const { type } = options;
  let isTyped = false;
  child.stdout.on("data", (chunk) => {
    output += chunk;
    if (type === undefined || isTyped || !output.includes(type.after)) return;
    isTyped = true;
    child.stdin.write(type.keys);
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { status, output };
}
