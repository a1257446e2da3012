// Splits a command into words as a shell does, without running one.
import { StaveError } from "../errors.ts";
import { printable } from "../printable/printable.ts";

/**
 * Splits a command: blanks separate words, quotes and backslashes protect them. A text that begins with `[` is a JSON
 * list. Throws USAGE for an open quote, and for what only a shell can do: variables, pipes, redirections and the like.
 */
export function shellWords(text: string): string[] {
  if (text.trimStart().startsWith("[")) return jsonList(text);
  const words: string[] = [];
  let word: string | undefined;
  const pattern = /\s+|'([^']*)'|"((?:[^"\\$`]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\$`|&;<>()*?[\]{}~#!]+)|([\s\S])/g;
  for (const [all, single, double, escaped, plain, other] of text.matchAll(pattern)) {
    if (other !== undefined && !(other === "#" && word !== undefined)) throw refused(text, other);
    const part = single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? plain ?? other;
    if (part !== undefined) word = (word ?? "") + part;
    else if (all !== "" && word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw new StaveError("USAGE", "a command of an image is empty");
  return words;
}

function jsonList(text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new StaveError("USAGE", `the command ${printable(text.slice(0, 80))} is not a list of texts in JSON`, {
    hint: `for example '["program","argument"]'`,
  });
}

function refused(text: string, character: string): StaveError {
  const why = `'"`.includes(character)
    ? `the quote ${character} is not closed`
    : `${printable(character)} needs a shell`;
  return new StaveError("USAGE", `the command ${printable(text.slice(0, 80))} cannot be split into words: ${why}`, {
    hint: `quote it, or name the shell: '["sh","-c","…"]'`,
  });
}
