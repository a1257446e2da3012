// usage: make fuzz [FUZZ_COUNT=N] [FUZZ_SEED=N] [FUZZ_ONLY=FAMILY|TARGET] [FUZZ_INPUT=FILE] [FUZZ_JOBS=N]
// Runs the parsers on an endless supply of random inputs, and prints the figures of docs/security.md.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { chooseSeed } from "../support/seed.ts";
import { drive } from "./drive.ts";
import type { TargetResult } from "./result.ts";

const { env } = process;
const seed = chooseSeed("FUZZ_SEED");
const count = Number(env["FUZZ_COUNT"] || 1_000_000);
console.log(`seed ${seed}, ${count} inputs for each target`);

const results = new Map<string, TargetResult>();
const failures = await drive({
  seed,
  count,
  jobs: Number(env["FUZZ_JOBS"] || availableParallelism()),
  only: env["FUZZ_ONLY"] || undefined,
  input: env["FUZZ_INPUT"] || undefined,
  folder: join(import.meta.dirname, "../../fuzz-failures"),
  onResult: (result) => {
    const before = results.get(result.target);
    const sum: TargetResult = {
      target: result.target,
      inputs: result.inputs + (before?.inputs ?? 0),
      accepted: result.accepted + (before?.accepted ?? 0),
      slowest: Math.max(result.slowest, before?.slowest ?? 0),
      slowestAt: result.slowest > (before?.slowest ?? 0) ? result.slowestAt : (before?.slowestAt ?? 0),
      memory: Math.max(result.memory, before?.memory ?? 0),
    };
    results.set(result.target, sum);
    console.log(row(sum));
  },
});
const all = [...results.values()];
const total = all.reduce((sum, { inputs }) => sum + inputs, 0);
console.log(`${total} inputs for ${all.length} targets, ${failures.length} failures (seed ${seed})`);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length > 0 ? 1 : 0;

function row({ target, inputs, accepted, slowest, slowestAt, memory }: TargetResult): string {
  const valid = `${((100 * accepted) / Math.max(1, inputs)).toFixed(1)} % valid`;
  const worst = slowest > 0 ? `, slowest ${slowest.toFixed(1)} ms (input ${slowestAt})` : "";
  return `${target}: ${inputs} inputs, ${valid}${worst}, ${memory >> 10} MiB`;
}
