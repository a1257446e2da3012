// Runs a step of the action as the runner of GitHub does: inputs are variables, and what the step sets is in files.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./tree.ts";

/** What a step did. */
export interface ActionStep {
  readonly status: number | null;
  readonly log: string;
  /** The outputs, variables and states that were set. */
  readonly set: Readonly<Record<string, string>>;
  /** The variables of later steps. */
  readonly variables: Readonly<Record<string, string>>;
  readonly path: string;
  readonly temporary: string;
}

/** How to run a step. */
export interface ActionStepOptions {
  /** The folder of the action. */
  readonly action: string;
  readonly file?: "main.mjs" | "post.mjs";
  readonly inputs?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: an empty folder. */
  readonly cwd?: string;
}

const FILES = ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"] as const;

/** Runs a file of the action as the runner does. */
export async function actionStep({
  action,
  file = "main.mjs",
  inputs = {},
  env: more = {},
  cwd,
}: ActionStepOptions): Promise<ActionStep> {
  const folder = temporaryFolder();
  const temporary = more["RUNNER_TEMP"] ?? join(folder, "temp");
  for (const name of FILES) writeFileSync(join(folder, name), "");
  const env = {
    ...{
      PATH: process.env["PATH"] ?? "",
      HOME: folder,
      XDG_RUNTIME_DIR: folder,
      RUNNER_TEMP: temporary,
      GITHUB_ACTIONS: "true",
    },
    ...Object.fromEntries(FILES.map((name) => [name, join(folder, name)])),
    ...Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value])),
    ...more,
  };
  const child = spawn(process.execPath, [join(action, file)], {
    env,
    cwd: cwd ?? folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      log += chunk;
    });
  const status = await new Promise<number | null>((done) => child.once("close", done));
  const read = (name: (typeof FILES)[number]): string => readFileSync(join(folder, name), "utf8");
  const variables = assignments(read("GITHUB_ENV"));
  const set = { ...assignments(read("GITHUB_OUTPUT")), ...variables, ...assignments(read("GITHUB_STATE")) };
  return { status, log, set, variables, path: read("GITHUB_PATH"), temporary };
}

function assignments(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^([\w-]+)<<(\S+)\n([\s\S]*?)\n\2$/gm)].map(([, name, , value]) => [name ?? "", value ?? ""]),
  );
}
