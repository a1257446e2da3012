// Splits spec texts into tokens (Spack `spec_parser.py`, SpecTokens) in one pass of linear time.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";

/** The kinds of tokens; `propagated` ones have a doubled sign. */
export type TokenKind =
  | "startEdge"
  | "endEdge"
  | "dependency"
  | "version"
  | "boolean"
  | "value"
  | "file"
  | "name"
  | "hash";

/** One token of a spec text. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Where it starts, in UTF-16 units from 0. */
  readonly start: number;
  /** For `endEdge` and `dependency`: the virtuals and the package of `c,cxx=gcc`. */
  readonly assignment?: { readonly virtuals: readonly string[]; readonly name: string };
  /** For `value`: the key, the sign between, and the value without quotes. */
  readonly pair?: { readonly key: string; readonly sign: string; readonly value: string };
}

/** The longest spec text accepted, in UTF-16 units. */
export const QUERY_LIMIT = 1024 * 1024;

const IDENT = "[a-zA-Z_0-9][a-zA-Z_0-9\\-]*";
const DOTTED = `${IDENT}(?:\\.${IDENT})+`;
const NAME = "[a-zA-Z_0-9][a-zA-Z_0-9\\-.]*";
const GIT = "(?:git\\.[a-zA-Z_0-9][a-zA-Z_0-9./\\-]*|[A-Fa-f0-9]{40})";
const VERSION = "=?[a-zA-Z0-9_][a-zA-Z_0-9\\-.]*\\b";
const RANGE = `(?:${VERSION})?:(?:${VERSION}(?!\\s*=))?`;
const ITEM = `(?:${RANGE}|${VERSION})`;
const ASSIGNMENT = `(?:\\s*(${IDENT}(?:,${IDENT})*)=(${DOTTED}|${IDENT}))?`;

const START_EDGE = /(?:\^|%%|%)\[/y;
const END_EDGE = new RegExp(`\\]${ASSIGNMENT}`, "y");
const DEPENDENCY = new RegExp(`(?:\\^|%%|%)${ASSIGNMENT}`, "y");
const VERSIONS = new RegExp(`@${GIT}=${VERSION}|@${GIT}|@\\s*${ITEM}(?:\\s*,\\s*${ITEM})*`, "y");
const BOOLEAN = new RegExp(`(?:\\+\\+|~~|--)\\s*${NAME}|[~+-]\\s*${NAME}`, "y");
const KEY = new RegExp(`(${NAME})(:?)(==?)`, "y");
const VALUE = /[a-zA-Z_0-9\-+*.,:=%^~/\\]+/y;
const PACKAGE = new RegExp(`${DOTTED}|${IDENT}|\\*`, "y");
const HASH = /\/[a-zA-Z_0-9]+/y;
const SPACE = /\s+/y;
const PATH = /[a-zA-Z0-9\-_./]*/y;
const PATH_START = /[./]|[a-zA-Z0-9\-_]*\//y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

/** Splits a text into tokens, without spaces. Throws SPEC_INVALID at the first character that does not start one. */
export function tokenize(text: string): Token[] {
  if (text.length > QUERY_LIMIT)
    throw new StaveError("SPEC_INVALID", `the spec is ${text.length} characters long, expected ${QUERY_LIMIT} at most`);
  const files = new FileFinder(text);
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const space = match(SPACE, text, at);
    at += space?.[0].length ?? 0;
    if (at >= text.length) break;
    const token = tokenAt(text, at, files);
    if (token === undefined) throw unexpected(text, at);
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}

// Dispatches on the first character; letters, digits and underscores start pairs, files and names.
function tokenAt(text: string, start: number, files: FileFinder): Token | undefined {
  const simple = (kind: TokenKind, pattern: RegExp): Token | undefined => {
    const [found] = match(pattern, text, start) ?? [];
    return found === undefined ? undefined : { kind, text: found, start };
  };
  switch (text.charAt(start)) {
    case "^":
    case "%":
      return simple("startEdge", START_EDGE) ?? edgeToken("dependency", DEPENDENCY, text, start);
    case "]":
      return edgeToken("endEdge", END_EDGE, text, start);
    case "@":
      return simple("version", VERSIONS);
    case "+":
    case "~":
      return simple("boolean", BOOLEAN);
    case "-":
      return simple("boolean", BOOLEAN) ?? files.at(start);
    case "/":
      return files.at(start) ?? simple("hash", HASH);
    case ".":
      return files.at(start);
    default:
      return pairToken(text, start) ?? files.at(start) ?? simple("name", PACKAGE);
  }
}

function edgeToken(kind: TokenKind, pattern: RegExp, text: string, start: number): Token | undefined {
  const [found, virtuals, name] = match(pattern, text, start) ?? [];
  if (found === undefined) return undefined;
  if (virtuals === undefined || name === undefined) return { kind, text: found, start };
  return { kind, text: found, start, assignment: { virtuals: virtuals.split(","), name } };
}

function pairToken(text: string, start: number): Token | undefined {
  const [head, key, colon = "", equals = ""] = match(KEY, text, start) ?? [];
  if (head === undefined || key === undefined) return undefined;
  // `a==` with nothing after it is `a=` with the value `=`.
  for (const sign of equals === "==" ? ["==", "="] : ["="]) {
    const at = start + key.length + colon.length + sign.length;
    const [plain] = match(VALUE, text, at) ?? [];
    const whole = plain ?? quotedAt(text, at);
    if (whole === undefined) continue;
    const value = plain ?? unquote(whole);
    return {
      kind: "value",
      text: text.slice(start, at + whole.length),
      start,
      pair: { key, sign: colon + sign, value },
    };
  }
  return undefined;
}

// A quote after a backslash belongs to the value.
function quotedAt(text: string, start: number): string | undefined {
  const quote = text.charAt(start);
  if (quote !== "'" && quote !== '"') return undefined;
  let end = text.indexOf(quote, start + 1);
  while (end > 0 && text.charAt(end - 1) === "\\") end = text.indexOf(quote, end + 1);
  if (end < 0) throw syntaxError(text, start, text.length - start, "this quote is not closed");
  return text.slice(start, end + 1);
}

function unquote(quoted: string): string {
  const quote = quoted.charAt(0);
  return quoted.slice(1, -1).replaceAll(`\\${quote}`, quote);
}

// Finds paths that end in .json or .yaml. The end of a run of path characters is found once for all positions in it.
class FileFinder {
  readonly #text: string;
  #end = 0;
  #extension = -1;

  constructor(text: string) {
    this.#text = text;
  }

  at(start: number): Token | undefined {
    const [prefix] = match(PATH_START, this.#text, start) ?? [];
    if (prefix === undefined) return undefined;
    if (start + prefix.length > this.#end) {
      const run = match(PATH, this.#text, start)?.[0] ?? "";
      this.#end = start + run.length;
      const extension = Math.max(run.lastIndexOf(".json"), run.lastIndexOf(".yaml"));
      this.#extension = extension < 0 ? -1 : start + extension;
    }
    if (this.#extension < start + prefix.length) return undefined;
    return { kind: "file", text: this.#text.slice(start, this.#extension + ".json".length), start };
  }
}

function unexpected(text: string, at: number): StaveError {
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  return syntaxError(text, at, character.length, `"${printable(character)}" is not expected here`);
}

/** A syntax error with the column, from 1, and a caret line that marks `length` characters. */
export function syntaxError(text: string, start: number, length: number, problem: string): StaveError {
  const message = `the spec "${printable(text)}" is not valid at character ${start + 1}: ${problem}`;
  return new StaveError("SPEC_INVALID", message, { subject: text, hint: caretLines(text, start, length) });
}

const AROUND = 60;

/** The text with a caret line that marks a part; long texts are cut to the surroundings. */
export function caretLines(text: string, start: number, length: number): string {
  const from = start > AROUND ? start - AROUND : 0;
  // One character per unit keeps the carets aligned.
  const shown = text.slice(from, start + AROUND).replace(/[^\x20-\x7e]/g, "?");
  const marks = Math.max(1, Math.min(length, from + shown.length - start));
  return `${shown}\n${" ".repeat(start - from)}${"^".repeat(marks)}`;
}
