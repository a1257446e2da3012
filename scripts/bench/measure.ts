// Runs commands one after the other, in several interleaved rounds, and measures each with all its child processes:
// wall time, CPU time and peak resident memory. Interleaving spreads a slowdown of the machine over all commands.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";

export interface Candidate {
  name: string;
  /** The command of one round; called for each round, so that it can use a new folder. */
  command: (round: number) => string[];
  env?: Record<string, string>;
  /** Prepares each round; not measured. */
  prepare?: (round: number) => Promise<void>;
  /** Called with the standard output of a round's command; not measured. */
  finish?: (output: string) => void;
}

export interface Figures {
  name: string;
  /** Medians: wall seconds; CPU seconds of all processes; bytes of the largest process. */
  wall: number;
  cpu: number;
  memory: number;
  /** The least and the most wall seconds of all rounds. */
  spread: [number, number];
  /** Each round. */
  samples: readonly Sample[];
}

/** One round: wall seconds, CPU seconds, bytes. */
export interface Sample {
  wall: number;
  cpu: number;
  memory: number;
}

/** Measures the candidates over `rounds` rounds, after `warmUps` that do not count. Throws if a command fails. */
export async function measure(candidates: Candidate[], rounds: number, warmUps = 1): Promise<Figures[]> {
  const samples = new Map<string, Sample[]>();
  for (let round = 1 - warmUps; round <= rounds; round++)
    for (const candidate of candidates) {
      await candidate.prepare?.(round);
      const sample = await runOnce(candidate, round);
      if (round > 0) samples.set(candidate.name, [...(samples.get(candidate.name) ?? []), sample]);
    }
  return candidates.map(({ name }) => {
    const all = samples.get(name) ?? [];
    const of = (key: keyof Sample) => median(all.map((sample) => sample[key]));
    const walls = all.map(({ wall }) => wall);
    const spread: [number, number] = [Math.min(...walls), Math.max(...walls)];
    return { name, wall: of("wall"), cpu: of("cpu"), memory: of("memory"), spread, samples: all };
  });
}

// At its end the shell prints the CPU time of its children and their children (POSIX `times`).
const TIMED = '"$@"; status=$?; times >&3; exit $status';

async function runOnce(candidate: Candidate, round: number): Promise<Sample> {
  // Flush the writes of others, so that no command waits for them.
  execFileSync("sync");
  const command = candidate.command(round);
  const started = performance.now();
  const child = spawn("sh", ["-c", TIMED, "sh", ...command], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, ...candidate.env },
  });
  const { pid } = child;
  const look = { memory: 0 };
  const timer = setInterval(() => {
    look.memory = Math.max(look.memory, largestBelow(pid));
  }, 20);
  const texts = Promise.all([child.stdio[1], child.stdio[2], child.stdio[3]].map((stream) => textOf(stream)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearInterval(timer);
  const wall = (performance.now() - started) / 1000;
  const [output = "", said = "", times = ""] = await texts;
  if (code !== 0)
    throw new Error(`${candidate.name} failed with ${code}: ${command.join(" ").slice(0, 500)}\n${said.slice(-2000)}`);
  candidate.finish?.(output);
  return { wall, cpu: cpuOf(times), memory: look.memory };
}

async function textOf(stream: unknown): Promise<string> {
  let text = "";
  for await (const chunk of stream as Readable) text = (text + chunk).slice(-MOST_OUTPUT);
  return text;
}

const MOST_OUTPUT = 4 * 1024 * 1024;

// The second line is for the children: `1m2.345s 0m0.678s`, user and system.
function cpuOf(times: string): number {
  const [, children = ""] = times.trim().split("\n");
  return [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}

// The kernel keeps the high-water mark of a process until it is reaped; the last sample before that counts.
function largestBelow(pid: number | undefined): number {
  let most = 0;
  try {
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)) {
      const status = readFileSync(`/proc/${child}/status`, "utf8");
      most = Math.max(most, Number(/VmHWM:\s+([0-9]+)/.exec(status)?.[1] ?? 0) * 1024, largestBelow(Number(child)));
    }
  } catch {
    // It has already exited.
  }
  return most;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
