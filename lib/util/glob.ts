// Globs: `*` within one part of a path, `**` across parts.

/** True if a glob matches the whole of a text; in a time that grows only with both lengths, whatever the glob. */
export function matchesGlob(glob: string, text: string): boolean {
  // Which lengths of the text the part of the glob read so far can match.
  let reached = [true, ...Array.from(text, () => false)];
  const letters = Array.from(text);
  for (const [token] of glob.matchAll(/\*\*|./gsu)) {
    const next = reached.map(() => false);
    for (const [at, isReached] of reached.entries()) {
      if (token === "*" || token === "**") {
        const isPassed = at > 0 && next[at - 1] === true && (token === "**" || letters[at - 1] !== "/");
        next[at] = isReached || isPassed;
      } else if (isReached && letters[at] === token) next[at + 1] = true;
    }
    reached = next;
  }
  return reached[letters.length] === true;
}
