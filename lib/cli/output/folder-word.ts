// A word that matches no spec, but is a directory: most likely a cache that was typed without `./`.
import { resolve } from "node:path";
import { kindAt } from "../../util/inspect-path.ts";

// What a path without a slash and the name of a package have in common.
const WORD = /^[\w][\w.-]*$/;

/** The hint for a word that matches no spec; undefined if it is no directory. */
export function folderHint(word: string, cwd: string): string | undefined {
  return WORD.test(word) && kindAt(resolve(cwd, word)) === "folder"
    ? `${word} is a directory here: write ./${word}`
    : undefined;
}
