// usage: make soak [MINUTES=30] [SOAK_SEED=N] [SOAK_PROCESSES=8]
// Runs commands that compete, are killed, run out of disk space and meet faulty registries, and checks the invariants
// after each round.
import { join } from "node:path";
import { chooseSeed } from "../support/seed.ts";
import { soak } from "./run.ts";

const { env } = process;
const seed = chooseSeed("SOAK_SEED");
const minutes = Number(env["MINUTES"] || 30);
console.log(`seed ${seed}, ${minutes} minutes`);
const result = await soak({
  seed,
  milliseconds: minutes * 60_000,
  round: 40_000,
  processes: Number(env["SOAK_PROCESSES"] || 8),
  folder: join(import.meta.dirname, "../../soak-failures"),
  onRound: (round, { operations, kills, full, faults, problems }) =>
    console.log(
      `round ${round}: ${operations} commands, ${kills} killed, ${full} full disks, ${faults} faults, ${problems.length} problems`,
    ),
});
console.log(
  [...result.statuses]
    .toSorted()
    .map(([key, times]) => `${key}: ${times}`)
    .join("\n"),
);
for (const problem of result.problems) console.error(problem);
console.log(
  `${result.rounds} rounds, ${result.operations} commands, ${result.problems.length} broken invariants (seed ${seed}, log ${result.log})`,
);
process.exitCode = result.problems.length > 0 ? 1 : 0;
