// What the library takes from the calling process, as the command line does; a caller can replace all of it.
import { type Clock, systemClock } from "../../util/time.ts";

/** The outside world, as a value. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder against which relative paths are resolved. */
  readonly cwd: string;
  readonly home: string;
  readonly clock: Clock;
  readonly uid?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The home folder of a user without one: nothing is found below it, and nothing can be made there. */
export const NO_HOME = "/dev/null";

/** The surroundings of this process. */
export function processSurroundings(): Surroundings {
  const { env } = process;
  return { env, cwd: process.cwd(), home: env["HOME"] || NO_HOME, clock: systemClock, uid: process.getuid?.() };
}
