// Parses the expressions of Python that recipes need to describe variables and metadata; refuses all others.
import { NotUnderstood, type Token, tokenize } from "./python-tokens.ts";

/** An expression. */
export type Expression =
  | { readonly kind: "constant"; readonly value: string | number | boolean | null }
  | { readonly kind: "format"; readonly parts: readonly (string | Expression)[] }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "attribute"; readonly of: Expression; readonly name: string }
  | {
      readonly kind: "call";
      readonly of: Expression;
      readonly args: readonly Expression[];
      readonly keywords: ReadonlyMap<string, Expression>;
    }
  | { readonly kind: "index"; readonly of: Expression; readonly index: Expression }
  | {
      readonly kind: "slice";
      readonly of: Expression;
      readonly from: Expression | undefined;
      readonly to: Expression | undefined;
    }
  | { readonly kind: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly kind: "not" | "minus"; readonly of: Expression }
  | {
      readonly kind: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: "choice";
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression;
    }
  | {
      readonly kind: "comprehension";
      readonly item: Expression;
      readonly names: readonly string[];
      readonly of: Expression;
      readonly test: Expression | undefined;
    };

const DEPTH = 60;
const COMPARISONS = new Set(["==", "!=", "<", ">", "<=", ">="]);
const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["True", true],
  ["False", false],
  ["None", null],
]);
// Names that never start a value.
const KEYWORDS = new Set(["lambda", "await", "yield", "if", "else", "for", "in", "is", "not", "and", "or", "async"]);

/** Parses tokens that are one expression; commas at the top make a tuple. Throws NotUnderstood. */
export function parseExpression(tokens: readonly Token[], line: number): Expression {
  const parser = new ExpressionParser(tokens, line);
  const found = parser.tuple();
  parser.end();
  return found;
}

class ExpressionParser {
  readonly #tokens: readonly Token[];
  readonly #line: number;
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], line: number) {
    this.#tokens = tokens;
    this.#line = line;
  }

  end(): void {
    if (this.#at < this.#tokens.length) throw this.#wrong();
  }

  tuple(): Expression {
    const first = this.#expression();
    if (!this.#isNext(",")) return first;
    const items = [first];
    while (this.#take(",") && this.#at < this.#tokens.length && !this.#isNext(")") && !this.#isNext("]"))
      items.push(this.#expression());
    return { kind: "tuple", items };
  }

  #wrong(): NotUnderstood {
    const token = this.#tokens[this.#at];
    if (token?.kind === "opaque") return new NotUnderstood(token.line, token.reason);
    const text = token !== undefined && "text" in token ? `"${token.text.slice(0, 40)}"` : "its end";
    return new NotUnderstood(token?.line ?? this.#line, `the expression is not understood at ${text}`);
  }

  #isNext(text: string): boolean {
    const token = this.#tokens[this.#at];
    return (token?.kind === "operator" || token?.kind === "name") && token.text === text;
  }

  #take(text: string): boolean {
    if (!this.#isNext(text)) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#wrong();
  }

  #expression(): Expression {
    if (++this.#depth > DEPTH) throw new NotUnderstood(this.#line, "the expression is too deep");
    const then = this.#or();
    let found = then;
    if (this.#take("if")) {
      const test = this.#or();
      this.#expect("else");
      found = { kind: "choice", test, then, otherwise: this.#expression() };
    }
    this.#depth--;
    return found;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#take("or")) left = { kind: "binary", operator: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#take("and")) left = { kind: "binary", operator: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (!this.#take("not")) return this.#comparison();
    if (++this.#depth > DEPTH) throw new NotUnderstood(this.#line, "the expression is too deep");
    const found: Expression = { kind: "not", of: this.#not() };
    this.#depth--;
    return found;
  }

  #comparison(): Expression {
    const left = this.#sum();
    const operator = this.#comparator();
    if (operator === undefined) return left;
    const found: Expression = { kind: "binary", operator, left, right: this.#sum() };
    // `a < b < c` compares b twice.
    if (this.#comparator() !== undefined) throw this.#wrong();
    return found;
  }

  #comparator(): string | undefined {
    const token = this.#tokens[this.#at];
    if (token?.kind === "operator" && COMPARISONS.has(token.text)) {
      this.#at++;
      return token.text;
    }
    if (this.#take("in")) return "in";
    if (this.#take("is")) return this.#take("not") ? "is not" : "is";
    if (!this.#isNext("not")) return undefined;
    this.#at++;
    this.#expect("in");
    return "not in";
  }

  #sum(): Expression {
    let left = this.#term();
    while (this.#take("+")) left = { kind: "binary", operator: "+", left, right: this.#term() };
    return left;
  }

  #term(): Expression {
    let left = this.#unary();
    while (this.#take("%")) left = { kind: "binary", operator: "%", left, right: this.#unary() };
    return left;
  }

  #unary(): Expression {
    return this.#take("-") ? { kind: "minus", of: this.#primary() } : this.#primary();
  }

  #primary(): Expression {
    let found = this.#atom();
    for (;;) {
      if (this.#take(".")) {
        const token = this.#tokens[this.#at++];
        if (token?.kind !== "name") throw this.#wrong();
        found = { kind: "attribute", of: found, name: token.text };
      } else if (this.#take("(")) found = this.#call(found);
      else if (this.#take("[")) found = this.#index(found);
      else return found;
    }
  }

  #call(of: Expression): Expression {
    const args: Expression[] = [];
    const keywords = new Map<string, Expression>();
    while (!this.#take(")")) {
      const token = this.#tokens[this.#at];
      const next = this.#tokens[this.#at + 1];
      if (token?.kind === "name" && next?.kind === "operator" && next.text === "=") {
        if (keywords.has(token.text)) throw this.#wrong();
        this.#at += 2;
        keywords.set(token.text, this.#expression());
      } else if (keywords.size > 0) throw this.#wrong();
      else {
        const arg = this.#expression();
        args.push(this.#isNext("for") ? this.#comprehension(arg) : arg);
      }
      if (!this.#take(",") && !this.#isNext(")")) throw this.#wrong();
    }
    return { kind: "call", of, args, keywords };
  }

  #index(of: Expression): Expression {
    const from = this.#isNext(":") ? undefined : this.tuple();
    if (!this.#take(":")) {
      this.#expect("]");
      if (from === undefined) throw this.#wrong();
      return { kind: "index", of, index: from };
    }
    const to = this.#isNext("]") ? undefined : this.#expression();
    this.#expect("]");
    return { kind: "slice", of, from, to };
  }

  #atom(): Expression {
    const token = this.#tokens[this.#at];
    if (token === undefined || token.kind === "opaque") throw this.#wrong();
    if (token.kind === "string" || token.kind === "format") return this.#strings();
    if (token.kind === "number") {
      if (!/^\d{1,15}$/.test(token.text)) throw this.#wrong();
      this.#at++;
      return { kind: "constant", value: Number(token.text) };
    }
    if (token.kind === "name") {
      if (KEYWORDS.has(token.text)) throw this.#wrong();
      this.#at++;
      const value = CONSTANTS.get(token.text);
      return value === undefined ? { kind: "name", name: token.text } : { kind: "constant", value };
    }
    if (this.#take("(")) return this.#parenthesis();
    if (this.#take("[")) return this.#items("]");
    throw this.#wrong();
  }

  #parenthesis(): Expression {
    if (this.#take(")")) return { kind: "tuple", items: [] };
    const first = this.#expression();
    if (this.#isNext("for")) {
      const found = this.#comprehension(first);
      this.#expect(")");
      return found;
    }
    if (this.#take(")")) return first;
    const items = [first];
    while (this.#take(",") && !this.#isNext(")")) items.push(this.#expression());
    this.#expect(")");
    return { kind: "tuple", items };
  }

  #items(closing: string): Expression {
    const items: Expression[] = [];
    while (!this.#take(closing)) {
      const item = this.#expression();
      if (items.length === 0 && this.#isNext("for")) {
        const found = this.#comprehension(item);
        this.#expect(closing);
        return found;
      }
      items.push(item);
      if (!this.#take(",") && !this.#isNext(closing)) throw this.#wrong();
    }
    return { kind: "list", items };
  }

  #comprehension(item: Expression): Expression {
    this.#expect("for");
    const names: string[] = [];
    do {
      const token = this.#tokens[this.#at++];
      if (token?.kind !== "name" || KEYWORDS.has(token.text)) throw this.#wrong();
      names.push(token.text);
    } while (this.#take(","));
    this.#expect("in");
    const of = this.#or();
    const test = this.#take("if") ? this.#or() : undefined;
    if (this.#isNext("for") || this.#isNext("if")) throw this.#wrong();
    return { kind: "comprehension", item, names, of, test };
  }

  // Adjacent strings are one.
  #strings(): Expression {
    const parts: (string | Expression)[] = [];
    for (let token = this.#tokens[this.#at]; token !== undefined; token = this.#tokens[++this.#at]) {
      if (token.kind === "string") parts.push(token.text);
      else if (token.kind === "format")
        for (const part of token.parts)
          parts.push(typeof part === "string" ? part : this.#nested(part.source, token.line));
      else if (token.kind === "opaque") throw this.#wrong();
      else break;
    }
    const isPlain = parts.every((part) => typeof part === "string");
    return isPlain ? { kind: "constant", value: parts.join("") } : { kind: "format", parts };
  }

  // An expression inside an f-string; its own strings may be f-strings again.
  #nested(source: string, line: number): Expression {
    if (++this.#depth > DEPTH) throw new NotUnderstood(line, "the expression is too deep");
    const tokens = tokenize(source.trim()).filter(({ kind }) => kind !== "newline");
    const parser = new ExpressionParser(tokens, line);
    parser.#depth = this.#depth;
    const found = parser.tuple();
    parser.end();
    this.#depth--;
    return found;
  }
}
