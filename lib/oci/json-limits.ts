// Counts the values of a JSON text and their depth before it is parsed: a few bytes of text can become a hundred times
// as much memory, and code that walks the result may overflow the stack.

/** The deepest nesting of lists and objects; no document that stave reads comes close. */
export const JSON_DEPTH_LIMIT = 64;

/** The default limit on values of a document: some 15 000 specs, or a million tags. */
export const JSON_VALUE_LIMIT = 1_000_000;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The limit that a text exceeds, as `more than N values`; undefined if it may be parsed, valid or not. */
export function jsonExcess(text: string, values: number = JSON_VALUE_LIMIT): string | undefined {
  // Each value follows a comma, or is the first of the document, a list or an object.
  let count = 1;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at + 1);
    else if (code === COMMA) count++;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      count++;
      if (++depth > JSON_DEPTH_LIMIT) return `more than ${JSON_DEPTH_LIMIT} levels`;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
    if (count > values) return `more than ${values} values`;
  }
  return undefined;
}

function endOfString(text: string, from: number): number {
  for (let at = from; ; at++) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH && quote - 1 - slashes >= from) slashes++;
    if (slashes % 2 === 0) return quote;
    at = quote;
  }
}
