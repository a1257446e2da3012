// Evaluates the `when:` conditions of includes and definitions. Spack evaluates them as Python (`spec.py`,
// eval_conditional); this handles comparisons of host properties and environment variables and reports anything else as
// undecided.
import type { Host } from "./machine.ts";

/** The result of a condition, or the reason why it is undecided. */
export type Decision = { readonly holds: boolean } | { readonly undecided: string };

/** Evaluates a condition. Never throws: invalid conditions are undecided, with the reason. */
export function decide(condition: string, host: Host): Decision {
  try {
    const value = new Condition(tokens(condition), host).value();
    return value === UNKNOWN ? { undecided: "it depends on something unknown here" } : { holds: truth(value) === true };
  } catch (error) {
    if (error instanceof Undecidable) return { undecided: error.message };
    throw error;
  }
}

class Undecidable extends Error {}

const UNKNOWN: unique symbol = Symbol("unknown");
const ENVIRONMENT: unique symbol = Symbol("env");
type Value = string | number | boolean | null | typeof UNKNOWN | typeof ENVIRONMENT;
type Token =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "word" | "sign"; readonly text: string };

const TOKEN = /\s*(?:("[^"\\\n]*"|'[^'\\\n]*')|([A-Za-z_]\w*|\d{1,15})|(==|!=|[()[\],.]))/y;
const TOKEN_LIMIT = 200;

function tokens(text: string): Token[] {
  const out: Token[] = [];
  const end = text.trimEnd().length;
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < end; ) {
    const at = TOKEN.lastIndex;
    const [, quoted, word, sign] = TOKEN.exec(text) ?? [];
    if (out.length >= TOKEN_LIMIT) throw new Undecidable("it is too long");
    if (quoted !== undefined) out.push({ kind: "text", text: quoted.slice(1, -1) });
    else if (word !== undefined) out.push({ kind: "word", text: word });
    else if (sign !== undefined) out.push({ kind: "sign", text: sign });
    else throw new Undecidable(`it needs Python at character ${at + 1}`);
  }
  return out;
}

// Three-valued: undefined means unknown.
function truth(value: Value): boolean | undefined {
  return value === UNKNOWN ? undefined : value === ENVIRONMENT || Boolean(value);
}
const known = (value: boolean | undefined): Value => value ?? UNKNOWN;

class Condition {
  readonly #tokens: readonly Token[];
  readonly #host: Host;
  #at = 0;

  constructor(all: readonly Token[], host: Host) {
    this.#tokens = all;
    this.#host = host;
  }

  value(): Value {
    const value = this.#or();
    const rest = this.#tokens[this.#at];
    if (rest) throw new Undecidable(`it goes on with ${JSON.stringify(rest.text)}, which only Python understands`);
    return value;
  }

  #or(): Value {
    let left = this.#and();
    while (this.#take("or")) {
      const [a, b] = [truth(left), truth(this.#and())];
      // One of them decides; otherwise an unknown one makes the whole unknown.
      left = known(a === true || b === true || (a === undefined || b === undefined ? undefined : false));
    }
    return left;
  }

  #and(): Value {
    let left = this.#not();
    while (this.#take("and")) {
      const [a, b] = [truth(left), truth(this.#not())];
      left = known(a !== false && b !== false && (a === undefined || b === undefined ? undefined : true));
    }
    return left;
  }

  #not(): Value {
    if (!this.#take("not")) return this.#comparison();
    const value = truth(this.#not());
    return known(value === undefined ? undefined : !value);
  }

  #comparison(): Value {
    const left = this.#operand();
    if (this.#take("==")) return same(left, this.#operand());
    if (this.#take("!=")) return negated(same(left, this.#operand()));
    if (this.#take("in")) return this.#within(left, this.#operand());
    if (this.#peek("not") && this.#tokens[this.#at + 1]?.text === "in") {
      this.#at += 2;
      return negated(this.#within(left, this.#operand()));
    }
    return left;
  }

  #within(left: Value, right: Value): Value {
    if (left === UNKNOWN || right === UNKNOWN) return UNKNOWN;
    if (typeof left === "string" && right === ENVIRONMENT) return this.#variable(left) !== undefined;
    if (typeof left === "string" && typeof right === "string") return right.includes(left);
    throw new Undecidable("it uses `in` with something other than text or env");
  }

  #operand(): Value {
    const token = this.#tokens[this.#at++];
    if (!token) throw new Undecidable("it ends in the middle");
    if (token.kind === "text") return this.#method(token.text);
    if (token.text === "(") {
      const value = this.#or();
      this.#expect(")");
      return value;
    }
    if (token.kind === "sign") throw new Undecidable(`it has ${token.text} where a value is expected`);
    if (/^\d/.test(token.text)) return Number(token.text);
    return token.text === "env" ? this.#environment() : this.#method(this.#name(token.text));
  }

  #environment(): Value {
    if (this.#take("[")) {
      const name = this.#text();
      this.#expect("]");
      const value = this.#variable(name);
      if (value === undefined) throw new Undecidable(`the environment variable ${name} is not set`);
      return this.#method(value);
    }
    if (!this.#take(".")) return ENVIRONMENT;
    this.#expect("get");
    this.#expect("(");
    const name = this.#text();
    const fallback = this.#take(",") ? this.#operand() : null;
    this.#expect(")");
    return this.#method(this.#variable(name) ?? fallback);
  }

  // `startswith` and `endswith` of a text.
  #method(value: Value): Value {
    if (!this.#take(".")) return value;
    const name = this.#tokens[this.#at++]?.text ?? "";
    if (name !== "startswith" && name !== "endswith")
      throw new Undecidable(`it calls .${name}, which only Python understands`);
    this.#expect("(");
    const text = this.#text();
    this.#expect(")");
    if (value === UNKNOWN) return UNKNOWN;
    if (typeof value !== "string") throw new Undecidable(`it calls .${name} on something other than text`);
    return name === "startswith" ? value.startsWith(text) : value.endsWith(text);
  }

  #name(name: string): Value {
    const { platform, os, target, hostname } = this.#host;
    if (name === "True" || name === "False") return name === "True";
    if (name === "None") return null;
    if (name === "platform") return platform;
    if (name === "hostname") return hostname;
    if (name === "os") return os ?? UNKNOWN;
    if (name === "target") return target ?? UNKNOWN;
    if (name === "arch_str") return os && target ? `platform=${platform} os=${os} target=${target}` : UNKNOWN;
    throw new Undecidable(`it uses ${name}, which only Python understands`);
  }

  #variable(name: string): string | undefined {
    return Object.hasOwn(this.#host.env, name) ? this.#host.env[name] : undefined;
  }

  #text(): string {
    const token = this.#tokens[this.#at++];
    if (token?.kind !== "text") throw new Undecidable("it has no plain text where one is expected");
    return token.text;
  }

  #peek(text: string): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && token.kind !== "text" && token.text === text;
  }

  #take(text: string): boolean {
    const found = this.#peek(text);
    if (found) this.#at++;
    return found;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw new Undecidable(`it has no ${text} where one is expected`);
  }
}

function same(left: Value, right: Value): Value {
  return left === UNKNOWN || right === UNKNOWN ? UNKNOWN : left === right;
}

function negated(value: Value): Value {
  const known = truth(value);
  return known === undefined ? UNKNOWN : !known;
}
