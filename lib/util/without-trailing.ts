// Ends of texts. A regular expression such as `/\/+$/` takes quadratic time for a long run that is not at the end.

/** The text without any of `character` at its end. */
export function withoutTrailing(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text.charAt(end - 1) === character) end--;
  return end === text.length ? text : text.slice(0, end);
}
