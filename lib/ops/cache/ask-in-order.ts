// Several caches asked one after the other, as Spack asks its mirrors: the first one that has an answer gives it.
import { isStaveError, StaveError } from "../../errors.ts";

/** The first answer, and the failures of the caches that were asked before it, or of all without an answer. */
export interface Answered<T> {
  readonly answer: T | undefined;
  readonly failures: readonly StaveError[];
}

/**
 * Asks caches until one does not answer `undefined`. A cache that fails is passed over. Throws at once the errors that `isFinal`
 * accepts and those that are not StaveErrors.
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
 * Throws if "no" is not the whole answer: the failure of a cache that could not be asked, or NOT_FOUND if none of the caches
 * exists.
 */
export function throwUnasked(failures: readonly StaveError[], caches: number): void {
  const failed = failures.find(({ code }) => code !== "NOT_FOUND");
  if (failed !== undefined) throw failed;
  const [gone] = failures;
  if (gone !== undefined && failures.length === caches) throw gone;
}
