// Files that still name the old place after relocation, as people are told of them.

// Compiled Python falls back to its source, and of a static library nothing is loaded: both are harmless, and many.
const HARMLESS = /\.(?:pyc|a)$/;

/** The files that are worth a word; all of them when that was asked for. */
export function worthTelling(paths: readonly string[], all: boolean | undefined): readonly string[] {
  return all ? paths : paths.filter((path) => !HARMLESS.test(path));
}
