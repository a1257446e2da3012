// Runs commands one after the other, several rounds in turn, and measures each as a whole process: wall time, CPU time
// and peak resident memory. Rounds are interleaved, so that a machine that slows down slows everybody.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Candidate {
  name: string;
  /** The command of one round; called again for each, so that it can name a fresh place. */
  command: (round: number) => string[];
  env?: Record<string, string>;
  /** Makes things ready before each round; not measured. */
  prepare?: (round: number) => Promise<void>;
}

export interface Figures {
  name: string;
  /** Medians: seconds, seconds, bytes. */
  wall: number;
  cpu: number;
  memory: number;
}

interface Sample {
  wall: number;
  cpu: number;
  memory: number;
}

const CLOCK_TICKS = 100;

/** Measures the candidates over `rounds` rounds after one warm-up round of each. Throws when a command fails. */
export async function measure(candidates: Candidate[], rounds: number): Promise<Figures[]> {
  const samples = new Map<string, Sample[]>();
  for (let round = 0; round <= rounds; round++)
    for (const candidate of candidates) {
      await candidate.prepare?.(round);
      const sample = await runOnce(candidate, round);
      if (round > 0) samples.set(candidate.name, [...(samples.get(candidate.name) ?? []), sample]);
    }
  return candidates.map(({ name }) => {
    const all = samples.get(name) ?? [];
    const of = (key: keyof Sample) => median(all.map((sample) => sample[key]));
    return { name, wall: of("wall"), cpu: of("cpu"), memory: of("memory") };
  });
}

function runOnce(candidate: Candidate, round: number): Promise<Sample> {
  const [program = "", ...args] = candidate.command(round);
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...candidate.env } });
  let memory = 0;
  let cpu = 0;
  let said = "";
  child.stdout.resume();
  child.stderr.on("data", (chunk) => {
    said = (said + chunk).slice(-2000);
  });
  // The kernel keeps the high-water mark and the times of a process until it is reaped; the last look before that counts.
  const look = () => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      memory = Math.max(memory, Number(/VmHWM:\s+([0-9]+)/.exec(status)?.[1] ?? 0) * 1024);
      const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      cpu = Math.max(cpu, (Number(stat[11]) + Number(stat[12])) / CLOCK_TICKS);
    } catch {
      // Gone already.
    }
  };
  const timer = setInterval(look, 10);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(timer);
      const wall = (performance.now() - started) / 1000;
      if (code === 0) resolve({ wall, cpu, memory });
      else reject(new Error(`${candidate.name} failed with ${code}: ${[program, ...args].join(" ")}\n${said}`));
    });
  });
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** A Markdown table of figures, each wall time also as a ratio to the first row. */
export function figuresTable(title: string, figures: Figures[]): string {
  const base = figures[0]?.wall ?? 1;
  const rows = figures.map(
    ({ name, wall, cpu, memory }) =>
      `| ${name} | ${wall.toFixed(2)} s | ${(wall / base).toFixed(2)} | ${cpu.toFixed(2)} s | ${Math.round(memory / 1e6)} MB |`,
  );
  return [
    `### ${title}`,
    "",
    "| command | wall | ratio | CPU | peak memory |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
