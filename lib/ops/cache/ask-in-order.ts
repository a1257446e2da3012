// Asks several caches in order, as Spack asks its mirrors: the first answer counts.
import { isStaveError, StaveError } from "../../errors.ts";

/** The first answer, and the failures of the caches asked before it (of all caches, if there is none). */
export interface Answered<T> {
  readonly answer: T | undefined;
  readonly failures: readonly StaveError[];
}

/**
 * Asks caches in order until one returns something other than `undefined`. Skips a cache that fails. Rethrows errors
 * that `isFinal` accepts or that are not StaveErrors.
 */
export async function askInOrder<C, T>(
  caches: readonly C[],
  ask: (cache: C) => Promise<T | undefined>,
  isFinal: (error: StaveError) => boolean = isInterruption,
): Promise<Answered<T>> {
  const failures: StaveError[] = [];
  for (const cache of caches) {
    try {
      const answer = await ask(cache);
      if (answer !== undefined) return { answer, failures };
    } catch (error) {
      if (!(error instanceof StaveError) || isFinal(error)) throw error;
      failures.push(error);
    }
  }
  return { answer: undefined, failures };
}

const isInterruption = (error: StaveError): boolean => isStaveError(error, "ABORTED", "INTERNAL");

/**
 * Throws if the missing answer is uncertain: the failure of a cache that could not be asked, or NOT_FOUND if none of
 * the caches exists.
 */
export function throwUnasked(failures: readonly StaveError[], caches: number): void {
  const failed = failures.find(({ code }) => code !== "NOT_FOUND");
  if (failed !== undefined) throw failed;
  const [gone] = failures;
  if (gone !== undefined && failures.length === caches) throw gone;
}
