// The width of texts on a terminal, in columns: East Asian characters and emoji take two, combining marks none.

// East Asian Width W and F (UAX #11) by blocks; emoji have a property of their own.
const WIDE =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
const MARK = /\p{M}/u;
/** The fast path. */
const PLAIN = /^[\x20-\x7e]*$/;

function widthOf(character: string): number {
  if (MARK.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** The columns that a printable text of one line takes. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOf(character);
  return width;
}

/** The start of a printable text that takes at most so many columns; never half a character. */
export function cutText(text: string, columns: number): string {
  if (PLAIN.test(text)) return text.slice(0, Math.max(0, columns));
  let [width, end] = [0, 0];
  for (const character of text) {
    width += widthOf(character);
    if (width > columns) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** As `cutText`, with an ellipsis if something was cut. */
export function fitText(text: string, columns: number): string {
  return textWidth(text) > columns ? `${cutText(text, columns - 1)}…` : text;
}

/** As `padEnd`, by columns. */
export function padText(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - textWidth(text)));
}

/** Breaks a printable text between words, and words that are longer than a line. Returns at least one line. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(" ")) {
    const joined = line === "" ? word : `${line} ${word}`;
    if (textWidth(joined) <= columns) {
      line = joined;
      continue;
    }
    if (line !== "") lines.push(line);
    while (textWidth(word) > columns) {
      // A character that is wider than the line has one of its own.
      const head = cutText(word, columns) || String.fromCodePoint(word.codePointAt(0) ?? 0);
      lines.push(head);
      word = word.slice(head.length);
    }
    line = word;
  }
  return line === "" && lines.length > 0 ? lines : [...lines, line];
}
