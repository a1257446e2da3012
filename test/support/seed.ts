// The seed of a test file's random inputs: printed, so that a failure can be reproduced with STAVE_TEST_SEED.
import fc from "fast-check";

/** The seed of the environment, or one of the clock. */
export function chooseSeed(): number {
  return Number(process.env["STAVE_TEST_SEED"] || Date.now() & 0x7fffffff);
}

/** Chooses a seed, prints it, and uses it for every property of the process. */
export function useSeed(): number {
  const seed = chooseSeed();
  console.log(`seed ${seed} (make it again with STAVE_TEST_SEED=${seed})`);
  fc.configureGlobal({ seed });
  return seed;
}
