// Copies of parts of a text.

/**
 * A copy of a part of a text, with memory of its own: V8 represents a slice by a reference that keeps the whole text in
 * memory, and `" " + text` without its first character by a reference to one more copy.
 */
export function ownText(part: string): string {
  // Of two parts, `join` makes one new string.
  return [part.slice(0, 1), part.slice(1)].join("");
}
