// Keeps the results of a run of benchmarks in a file, so that documents can be made of it, and runs be compared.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join, resolve } from "node:path";
import * as z from "zod";
import type { Table } from "./table.ts";

/** The folder of all runs, which is not part of the repository. */
export const RESULTS_FOLDER: string = resolve(import.meta.dirname, "../../bench-results");

const table = z.object({
  title: z.string(),
  columns: z.array(z.object({ name: z.string(), unit: z.enum(["s", "bytes", "count", "ratio"]) })),
  rows: z.array(
    z.object({
      name: z.string(),
      // JSON has no undefined.
      cells: z.array(z.number().nullable()),
      spread: z.tuple([z.number(), z.number()]).optional(),
    }),
  ),
});
const results = z.object({
  schema: z.literal(1),
  started: z.iso.datetime(),
  commit: z.string(),
  node: z.string(),
  processor: z.string(),
  cores: z.number(),
  /** The load of the machine at the start and the end: processes that want to run, averaged over a minute. */
  load: z.tuple([z.number(), z.number()]),
  scale: z.number(),
  benchmarks: z.record(z.string(), z.array(table)),
});
type Stored = z.infer<typeof results>;

/** A run of benchmarks. */
export interface Results extends Omit<Stored, "benchmarks"> {
  readonly benchmarks: Record<string, readonly Table[]>;
}

/** A new run without results. */
export function newResults(scale: number): Results {
  const all = cpus();
  return {
    schema: 1,
    started: new Date().toISOString(),
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: import.meta.dirname,
      encoding: "utf8",
    }).trim(),
    node: process.version,
    processor: all[0]?.model ?? "unknown",
    cores: all.length,
    load: [loadavg()[0] ?? 0, 0],
    scale,
    benchmarks: {},
  };
}

/** Writes a run to a file named after its time; called after each benchmark, so that a stopped run keeps results. */
export function writeResults(run: Results): string {
  mkdirSync(RESULTS_FOLDER, { recursive: true });
  const file = join(RESULTS_FOLDER, `${run.started.replaceAll(":", "-")}.json`);
  writeFileSync(file, `${JSON.stringify({ ...run, load: [run.load[0], loadavg()[0] ?? 0] }, undefined, 2)}\n`);
  return file;
}

/** Reads a run. Throws if the file is not one. */
export function readResults(file: string): Results {
  const { benchmarks, ...rest } = results.parse(JSON.parse(readFileSync(file, "utf8")));
  const tables = Object.entries(benchmarks).map(([name, all]) => [
    name,
    all.map(({ rows, ...one }) => ({
      ...one,
      rows: rows.map(({ cells, ...row }) => ({ ...row, cells: cells.map((cell) => cell ?? undefined) })),
    })),
  ]);
  return { ...rest, benchmarks: Object.fromEntries(tables) };
}

/** The files of all runs, oldest first. */
export function resultFiles(): string[] {
  if (!existsSync(RESULTS_FOLDER)) return [];
  const names = readdirSync(RESULTS_FOLDER).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => join(RESULTS_FOLDER, name));
}

/** What was measured where. */
export function describeRun({ started, commit, node, processor, cores, load, scale }: Results): string {
  const size = scale === 1 ? "" : `, at ${scale} of the usual size`;
  return `Commit ${commit}, ${started.slice(0, 10)}, Node ${node}, ${cores} × ${processor}, load ${load.map((one) => one.toFixed(1)).join(" to ")}${size}.`;
}
