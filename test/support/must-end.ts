// Work on an input so large that it ends soon only if its time grows with the size, and otherwise in no test's life.
import { runInNewContext } from "node:vm";

/** Far more than the work needs on the slowest machine. */
const DEADLINE = 60_000;

/**
 * Does work that does not wait for anything; throws if it has not ended after a minute. Returns what the work returns.
 */
export function mustEnd<T>(work: () => T): T {
  return runInNewContext("work()", { work }, { timeout: DEADLINE }) as T;
}
