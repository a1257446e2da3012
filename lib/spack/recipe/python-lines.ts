// Makes a tree of logical lines of tokens: each statement with the block below it. Statements are not parsed here, so
// that one which is not understood harms no other.
import { NotUnderstood, type Token, tokenize } from "./python-tokens.ts";

/** A logical line without its line end; of a compound statement, up to the colon and without it. */
export interface Line {
  readonly tokens: readonly Token[];
  /** The line in the text, counted from 1. */
  readonly number: number;
  /** The block of a compound statement, also if it stands on the same line. */
  readonly block: readonly Line[] | undefined;
}

const COMPOUND = new Set(
  ["if", "elif", "else", "for", "while", "with", "try", "except", "finally", "def", "class", "async"].concat("match"),
);

/** Parses a text. Throws NotUnderstood if it has no tree of blocks. */
export function linesOf(text: string): Line[] {
  const tokens = tokenize(text);
  let at = 0;
  const block = (isNested: boolean): Line[] => {
    const lines: Line[] = [];
    for (;;) {
      const token = tokens[at];
      if (token === undefined || token.kind === "dedent") {
        if (isNested) at++;
        return lines;
      }
      if (token.kind === "indent") throw new NotUnderstood(token.line, "a block has no statement before it");
      const start = at;
      while (tokens[at] !== undefined && tokens[at]?.kind !== "newline") at++;
      const line = tokens.slice(start, at++);
      const colon = isCompound(line) ? colonOf(line) : -1;
      if (tokens[at]?.kind === "indent") {
        if (colon !== line.length - 1) throw new NotUnderstood(token.line, "a block has no statement before it");
        at++;
        lines.push({ tokens: line.slice(0, colon), number: token.line, block: block(true) });
      } else if (colon >= 0)
        lines.push({
          tokens: line.slice(0, colon),
          number: token.line,
          block: simpleLines(line.slice(colon + 1), token.line),
        });
      else lines.push(...simpleLines(line, token.line));
    }
  };
  const lines = block(false);
  if (at < tokens.length) throw new NotUnderstood(tokens[at]?.line ?? 1, "a block ends that was not begun");
  return lines;
}

function isCompound([first]: readonly Token[]): boolean {
  return first?.kind === "name" && COMPOUND.has(first.text);
}

// The colon before a block: the first one outside brackets that does not belong to a lambda.
function colonOf(tokens: readonly Token[]): number {
  let depth = 0;
  let lambdas = 0;
  for (const [at, token] of tokens.entries()) {
    if (token.kind === "name" && token.text === "lambda" && depth === 0) lambdas++;
    if (token.kind !== "operator") continue;
    if ("([{".includes(token.text)) depth++;
    else if (")]}".includes(token.text)) depth--;
    else if (token.text === ":" && depth === 0 && lambdas-- <= 0) return at;
  }
  return -1;
}

// The statements of a line, which semicolons separate.
function simpleLines(tokens: readonly Token[], number: number): Line[] {
  const lines: Line[] = [];
  let start = 0;
  const end = (at: number): void => {
    if (at > start) lines.push({ tokens: tokens.slice(start, at), number, block: undefined });
    start = at + 1;
  };
  for (const [at, token] of tokens.entries()) if (token.kind === "operator" && token.text === ";") end(at);
  end(tokens.length);
  return lines;
}
