// Rounds of the soak: competing processes, then a pause in which everything is checked.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { dice } from "../../scripts/dice.ts";
import { act, disturb, pruneArguments, type Tally } from "./actors.ts";
import { checkAll } from "./check.ts";
import { runStave } from "./command.ts";
import { fingerprint, makeWorld } from "./world.ts";

/** How to run the soak. */
export interface SoakOptions {
  readonly seed: number;
  /** The total duration, and that of one round without its checks, in milliseconds. */
  readonly milliseconds: number;
  readonly round: number;
  readonly processes: number;
  /** Where to write the log. */
  readonly folder: string;
  readonly onRound?: (round: number, tally: Tally) => void;
}

/** Runs rounds until the time is up or something is wrong; returns the counters, with all problems. */
export async function soak(options: SoakOptions): Promise<Tally & { readonly rounds: number; readonly log: string }> {
  const { seed, milliseconds, processes, folder, onRound } = options;
  const random = dice(seed);
  const world = await makeWorld();
  mkdirSync(folder, { recursive: true });
  const log = join(folder, `seed-${seed}.log`);
  rmSync(log, { force: true });
  const tally: Tally = { operations: 0, kills: 0, full: 0, faults: 0, statuses: new Map(), problems: [] };
  let rounds = 0;
  try {
    const untouched = fingerprint(world.untouched);
    for (const { location } of world.caches)
      await runStave(world, ["push", location, ...world.specs, ...world.source, "-q"], { log });
    for (const end = Date.now() + milliseconds; Date.now() < end && tally.problems.length === 0; rounds++) {
      const until = Math.min(end, Date.now() + options.round);
      const own = (): (() => number) => dice(Math.floor(random() * 2 ** 32));
      const actors = Array.from({ length: processes }, () => act(world, own(), until, tally, log));
      await Promise.all([...actors, disturb(world, own(), until, tally)]);
      // It runs alone, so it may remove recent content; it may still be killed.
      for (const cache of world.caches) {
        const kill = random() < 0.5 ? { signal: "SIGKILL" as const, after: Math.floor(random() * 2000) } : undefined;
        const { problems } = await runStave(world, pruneArguments(world, cache, random, "0s"), { kill, log });
        tally.problems.push(...problems);
      }
      tally.problems.push(...(await checkAll(world, untouched, log)));
      onRound?.(rounds + 1, tally);
    }
  } finally {
    await world.close();
  }
  return { ...tally, rounds, log };
}
