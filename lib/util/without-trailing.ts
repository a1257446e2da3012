// Removes trailing characters. A regular expression such as `/\/+$/` takes quadratic time for a long run inside the
// text.

/** The text without trailing `character`s. */
export function withoutTrailing(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text.charAt(end - 1) === character) end--;
  return end === text.length ? text : text.slice(0, end);
}
