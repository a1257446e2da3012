// Splits the text of a recipe into the tokens of Python's grammar, with indentation. Nothing is executed, and every
// size is bounded. python-lines.ts makes blocks of the tokens.

/** A place in a recipe that is not understood, and why. */
export class NotUnderstood extends Error {
  /** The line, counted from 1; 0 stands for the statement that is being read. */
  readonly line: number;

  constructor(line: number, reason: string) {
    super(reason);
    this.name = "NotUnderstood";
    this.line = line;
  }
}

/** A part of an f-string: text, or the source of an expression between braces. */
export type FormatPart = string | { readonly source: string };

/** One token; `line` counts from 1. */
export type Token =
  | { readonly kind: "name" | "operator" | "number"; readonly text: string; readonly line: number }
  | { readonly kind: "string"; readonly text: string; readonly line: number }
  | { readonly kind: "format"; readonly parts: readonly FormatPart[]; readonly line: number }
  /** A string that this reader does not decode; the reason says why. */
  | { readonly kind: "opaque"; readonly reason: string; readonly line: number }
  | { readonly kind: "newline" | "indent" | "dedent"; readonly line: number };

/** The size limit of a recipe, in characters. */
export const RECIPE_LIMIT: number = 1024 * 1024;
const TOKENS = 400_000;
const BRACKETS = 50;
const INDENTS = 40;

const SPACE = / *(?:\\\r?\n *)*/y;
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const NUMBER = /(?:0[xXoObB][0-9a-fA-F_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][+-]?\d+)?\.?)[jJ]?/y;
const OPERATOR = /\*\*=|\/\/=|>>=|<<=|\.\.\.|->|:=|[-+*/%@&|^=!<>]=|\*\*|\/\/|<<|>>|[-+*/%@&|^~<>()[\]{},:.;=]/y;
const STRING = /([rRbBuUfF]{0,2})("""|'''|"|')/y;

/** Splits a text into tokens. Throws NotUnderstood for text that is not Python, or too large, deep or unusual. */
export function tokenize(text: string): Token[] {
  return new Tokenizer(text).all();
}

class Tokenizer {
  readonly #text: string;
  readonly #tokens: Token[] = [];
  readonly #indents = [0];
  #at = 0;
  #line = 1;
  #depth = 0;

  constructor(text: string) {
    if (text.length > RECIPE_LIMIT) throw new NotUnderstood(1, `it has ${text.length} characters`);
    this.#text = text.startsWith("\ufeff") ? text.slice(1) : text;
  }

  all(): Token[] {
    while (this.#at < this.#text.length) {
      if (this.#depth === 0 && this.#isLineStart()) {
        if (this.#skipBlank()) continue;
        this.#indent();
      }
      this.#token();
    }
    if (this.#depth > 0) throw this.#wrong("a bracket is not closed");
    if (this.#tokens.length > 0 && !this.#isLineStart()) this.#add({ kind: "newline", line: this.#line });
    for (; this.#indents.length > 1; this.#indents.pop()) this.#add({ kind: "dedent", line: this.#line });
    return this.#tokens;
  }

  #wrong(reason: string): NotUnderstood {
    return new NotUnderstood(this.#line, reason);
  }

  #add(token: Token): void {
    if (this.#tokens.length >= TOKENS) throw this.#wrong(`it has more than ${TOKENS} tokens`);
    this.#tokens.push(token);
  }

  // True if no token of the current logical line was read yet.
  #isLineStart(): boolean {
    const last = this.#tokens.at(-1)?.kind;
    return last === undefined || last === "newline" || last === "dedent" || last === "indent";
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0];
  }

  // Lines of blanks and comments only.
  #skipBlank(): boolean {
    const found = this.#match(/[ \t\f]*(?:#[^\n]*)?(?:\r?\n|$)/y);
    if (found === undefined || found === "") return false;
    this.#at += found.length;
    this.#line++;
    return true;
  }

  #indent(): void {
    const blanks = this.#match(/[ \t\f]*/y) ?? "";
    if (/[\t\f]/.test(blanks)) throw this.#wrong("it is indented by tabs");
    this.#at += blanks.length;
    const width = blanks.length;
    let top = this.#indents.at(-1) ?? 0;
    if (width > top) {
      if (this.#indents.length >= INDENTS) throw this.#wrong("its blocks are too deep");
      this.#indents.push(width);
      this.#add({ kind: "indent", line: this.#line });
    }
    while (width < top) {
      this.#indents.pop();
      top = this.#indents.at(-1) ?? 0;
      if (width > top) throw this.#wrong("the indentation fits no block");
      this.#add({ kind: "dedent", line: this.#line });
    }
  }

  #token(): void {
    const blanks = this.#match(SPACE) ?? "";
    this.#advance(blanks);
    const line = this.#line;
    const next = this.#text[this.#at];
    if (next === undefined) return;
    if (next === "#") this.#at += this.#match(/[^\n]*/y)?.length ?? 0;
    else if (next === "\n" || (next === "\r" && this.#text[this.#at + 1] === "\n")) {
      if (this.#depth === 0) this.#add({ kind: "newline", line });
      this.#at += next === "\n" ? 1 : 2;
      this.#line++;
    } else if (next === "\t") this.#at++;
    else if (this.#match(STRING) !== undefined) this.#string();
    else this.#word(line);
  }

  #word(line: number): void {
    for (const [kind, pattern] of [
      ["name", NAME],
      ["number", NUMBER],
      ["operator", OPERATOR],
    ] as const) {
      const text = this.#match(pattern);
      if (text === undefined || text === "") continue;
      this.#at += text.length;
      if (kind === "operator") this.#bracket(text);
      this.#add({ kind, text, line });
      return;
    }
    throw this.#wrong("it has a character that Python does not allow there");
  }

  #bracket(text: string): void {
    if ("([{".includes(text)) this.#depth++;
    else if (")]}".includes(text)) this.#depth--;
    if (this.#depth < 0) throw this.#wrong("a bracket is closed that is not open");
    if (this.#depth > BRACKETS) throw this.#wrong("its brackets are too deep");
  }

  #advance(text: string): void {
    this.#at += text.length;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#line++;
  }

  #string(): void {
    STRING.lastIndex = this.#at;
    const [opening = "", prefix = "", quote = '"'] = STRING.exec(this.#text) ?? [];
    const line = this.#line;
    this.#at += opening.length;
    const end = this.#endOf(quote);
    const body = this.#text.slice(this.#at, end).replaceAll("\r\n", "\n");
    this.#advance(this.#text.slice(this.#at, end + quote.length));
    this.#add(stringToken(prefix.toLowerCase(), body, line));
  }

  #endOf(quote: string): number {
    for (let at = this.#at; at < this.#text.length; at++) {
      if (this.#text[at] === "\\") at++;
      else if (this.#text[at] === "\n" && quote.length === 1) break;
      else if (this.#text.startsWith(quote, at)) return at;
    }
    throw this.#wrong("a string is not closed");
  }
}

function stringToken(prefix: string, body: string, line: number): Token {
  if (prefix.includes("b")) return { kind: "opaque", reason: "bytes", line };
  const text = prefix.includes("r") ? body : decoded(body);
  if (text === undefined) return { kind: "opaque", reason: "a string with an unusual escape", line };
  if (!prefix.includes("f")) return { kind: "string", text, line };
  // An escape could make a brace, and a backslash may not stand in an expression.
  if (body.includes("\\")) return { kind: "opaque", reason: "an f-string with a backslash", line };
  const parts = formatParts(text);
  return parts === undefined
    ? { kind: "opaque", reason: "an f-string with a format", line }
    : { kind: "format", parts, line };
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  n: "\n",
  t: "\t",
  r: "\r",
};

// Undefined for an escape that is rare in recipes: numbers, and names of characters.
function decoded(body: string): string | undefined {
  if (!body.includes("\\")) return body;
  let isOdd = false;
  const text = body.replaceAll(/\\([\s\S])/g, (whole, letter: string) => {
    const meant = ESCAPES[letter];
    if (meant === undefined && /[0-7xuUNabfv]/.test(letter)) isOdd = true;
    // Python keeps the backslash before any other character.
    return meant ?? whole;
  });
  return isOdd ? undefined : text;
}

// Undefined for nested braces, conversions (`!r`) and formats (`:>3`).
function formatParts(text: string): FormatPart[] | undefined {
  const parts: FormatPart[] = [];
  const pattern = /\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g;
  for (const [whole, source] of text.matchAll(pattern)) {
    if (source !== undefined) {
      // A slice or a keyword in brackets is no format.
      const outer = source.replaceAll(/"[^"]*"|'[^']*'/g, '""').replaceAll(/\[[^[\]]*\]|\([^()]*\)/g, "()");
      if (source.trim() === "" || /[!:=]/.test(outer)) return undefined;
      parts.push({ source });
    } else if (whole === "{" || whole === "}") return undefined;
    else parts.push(whole === "{{" || whole === "}}" ? whole.slice(1) : whole);
  }
  return parts;
}
