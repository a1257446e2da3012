// Selects which files that still contain the old place after relocation are reported.

// Compiled Python falls back to its source, and nothing is loaded from a static library: both are harmless, and
// numerous.
const HARMLESS = /\.(?:pyc|a)$/;

/** True for a file that does no harm if it contains the old place. */
export const isHarmless = (path: string): boolean => HARMLESS.test(path);

/** The files worth reporting, or all of them on request. */
export function worthTelling(paths: readonly string[], all: boolean | undefined): readonly string[] {
  return all ? paths : paths.filter((path) => !isHarmless(path));
}
