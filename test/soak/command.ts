// Runs the built command for the soak, kills it on request, and checks how it ended.
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ERROR_CODES, StaveError } from "../../lib/errors.ts";
import type { World } from "./world.ts";

const COMMAND = join(import.meta.dirname, "../../dist/stave.js");
/** The limit for a command, in milliseconds; far above what any takes on a busy machine. */
const DEADLINE = 240_000;

// 1 is the answer "no"; 70 is a defect of stave.
const STATUSES = new Set([
  0,
  1,
  ...ERROR_CODES.filter((code) => code !== "INTERNAL").map((code) => new StaveError(code, "").exitCode),
]);

// The commands of the soak are valid: a refused command line would test nothing.
const REFUSED = new Set(["USAGE", "SPEC_INVALID", "REFERENCE_INVALID", "CONFIG_INVALID"]);
const reportSchema = z.looseObject({ error: z.looseObject({ code: z.string() }).optional() });

/** How to kill a command early. */
export interface Kill {
  readonly signal: "SIGKILL" | "SIGINT";
  /** Milliseconds after its start. */
  readonly after: number;
}

/** How it ended, and what is wrong with that. */
export interface Ended {
  readonly line: string;
  readonly status: number | null;
  readonly report: z.infer<typeof reportSchema> | undefined;
  readonly problems: readonly string[];
}

/** Runs it to completion, or until it is killed; `--json` is added. */
export async function runStave(
  world: World,
  args: readonly string[],
  more: { kill?: Kill | undefined; log?: string; fileBlocks?: number | undefined } = {},
): Promise<Ended> {
  const { kill, log, fileBlocks } = more;
  const env = { PATH: process.env["PATH"] ?? "", ...world.env };
  const node = [process.execPath, COMMAND, ...args, "--json"];
  // Without a separate disk to fill, the size of files is limited: a shell sets the limit and ignores the signal.
  const [program = "", ...rest] =
    fileBlocks === undefined ? node : ["sh", "-c", `trap '' XFSZ; ulimit -f ${fileBlocks}; exec "$@"`, "sh", ...node];
  const child = spawn(program, rest, { env, cwd: world.work, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr, hung] = ["", "", false];
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  const killer = kill && setTimeout(() => child.kill(kill.signal), kill.after);
  const deadline = setTimeout(() => {
    hung = true;
    child.kill("SIGKILL");
  }, DEADLINE);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done) =>
    child.once("close", (...end) => done(end)),
  );
  clearTimeout(killer);
  clearTimeout(deadline);
  const line = `stave ${args.join(" ")}${kill ? ` (${kill.signal} after ${kill.after} ms)` : ""}`;
  if (log !== undefined) {
    const out = createWriteStream(log, { flags: "a" });
    out.end(`${line} → ${status ?? signal}\n${stderr.slice(-2000)}\n`);
  }
  const problems: string[] = [];
  const wrong = (what: string): void => void problems.push(`${line}: ${what}\n${stderr.slice(-1500)}`);
  if (hung) wrong(`took longer than ${DEADLINE / 1000} s`);
  // Before its handlers are installed, a signal ends the process directly.
  const isKilled = signal !== null && signal === kill?.signal;
  if (status === null && !isKilled && !hung) wrong(`ended with ${signal}`);
  if (status !== null && !STATUSES.has(status))
    wrong(`ended with status ${status}, which is not documented, or a defect`);
  let report: Ended["report"];
  if (status !== null)
    try {
      report = reportSchema.parse(JSON.parse(stdout));
      const code = report.error?.code;
      if (code !== undefined && REFUSED.has(code)) wrong(`was refused with ${code}`);
    } catch {
      wrong(`printed no single JSON document with status ${status}: ${JSON.stringify(stdout.slice(0, 300))}`);
    }
  return { line, status, report, problems };
}
