// The seed of a test file's random inputs: printed, so that a failure can be reproduced with STAVE_TEST_SEED.
import fc from "fast-check";

/** The seed that a variable of the environment has, or one of the clock. */
export function chooseSeed(variable = "STAVE_TEST_SEED"): number {
  return Number(process.env[variable] || Date.now() & 0x7fffffff);
}

/** Chooses a seed, prints it, and uses it for every property of the process. */
export function useSeed(): number {
  const seed = chooseSeed();
  console.log(`seed ${seed} (make it again with STAVE_TEST_SEED=${seed})`);
  fc.configureGlobal({ seed });
  return seed;
}
