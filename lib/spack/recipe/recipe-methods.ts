// Reads what a recipe's `setup_run_environment` and `setup_dependent_run_environment` do to variables, as text. Reading
// ends at the first statement that is not understood: what comes before it holds.
import type { EnvModification } from "../environment/env-modifications.ts";
import type { SpecNode } from "../spec/node.ts";
import type { Expression } from "./python-expression.ts";
import type { Line } from "./python-lines.ts";
import { NotUnderstood } from "./python-tokens.ts";
import type { Method, Recipe, RecipeClass } from "./recipe.ts";
import { isName, isOperator } from "./recipe.ts";
import { Evaluator, type Names } from "./recipe-evaluator.ts";
import { extend, joined } from "./recipe-functions.ts";
import { classNameOf, memberOf, memberOfBases } from "./recipe-scope.ts";
import { isThing, type MethodValue, pathOf, type Value } from "./recipe-values.ts";
import type { RecipeWorld } from "./spec-questions.ts";

/** What a method does, as far as it is understood. */
export interface MethodReading {
  readonly modifications: readonly EnvModification[];
  /** The place where reading ended, if it was not the end of the method. */
  readonly refused: { readonly line: number; readonly reason: string } | undefined;
}

/** Reads `setup_run_environment` of a spec's recipe. */
export function readRunEnvironment(recipe: Recipe, world: RecipeWorld): MethodReading {
  return new MethodReader(recipe, world).read("setup_run_environment", []);
}

/** Reads `setup_dependent_run_environment` of a spec's recipe for a spec that depends on it. */
export function readDependentEnvironment(recipe: Recipe, world: RecipeWorld, dependent: SpecNode): MethodReading {
  const value: Value = { kind: "spec", node: dependent };
  return new MethodReader(recipe, world).read("setup_dependent_run_environment", [value]);
}

const CALLS = 6;
const ENVIRONMENT: Value = { kind: "environment" };
const SELF: Value = { kind: "package" };

// How a method ended: at a `return`, with its value, or at its end.
type Outcome = { readonly value: Value } | undefined;

class MethodReader extends Evaluator {
  readonly #modifications: EnvModification[] = [];
  readonly #class: RecipeClass;
  /** The class whose method is in progress, for `super()`. */
  #from: RecipeClass;
  #calls = 0;
  #length = 0;

  constructor(recipe: Recipe, world: RecipeWorld) {
    super(recipe, world);
    const found = recipe.classes.get(classNameOf(world.node.name));
    this.#class = found ?? recipe.package;
    this.#from = this.#class;
  }

  read(name: string, others: readonly Value[]): MethodReading {
    try {
      if (this.#class.name !== classNameOf(this.world.node.name))
        throw this.wrong(`it has no class ${classNameOf(this.world.node.name)}`);
      const member = memberOf(this.recipe, this.#class, name);
      this.#runMember(name, member, [ENVIRONMENT, ...others], new Map());
      return { modifications: this.#modifications, refused: undefined };
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      return { modifications: this.#modifications, refused: { line: error.line || this.line, reason: error.message } };
    }
  }

  override packageAttribute(name: string): Value {
    const { node } = this.world;
    if (name === "spec") return { kind: "spec", node };
    const member = memberOfFile(this.recipe, this.#class, name);
    if (member?.kind === "constant") return this.constant(member.line, new Map());
    if (member?.kind === "methods") {
      const isProperty = member.methods.every((method) => method.isProperty);
      if (isProperty) return this.#runMember(name, member, [], new Map());
      return { kind: "method", of: SELF, name };
    }
    if (name === "prefix" || name === "home") return this.specs.prefix(node);
    if (name === "version") return { kind: "version", text: this.specs.plainVersion(node) };
    if (name === "name") return node.name;
    if (name === "run_tests") return false;
    throw this.wrong(`self.${name}`);
  }

  override callOwn(method: MethodValue, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value {
    const owner = method.of;
    const kind = isThing(owner) ? owner.kind : undefined;
    if (kind === "environment") this.#change(method.name, args, keywords);
    else if (kind === "bases") {
      const member = memberOfBases(this.recipe, this.#from, method.name);
      if (member === undefined && !method.name.startsWith("setup_")) throw this.wrong(`super().${method.name}`);
      return this.#runMember(method.name, member, args, keywords);
    } else return this.#runMember(method.name, memberOf(this.recipe, this.#class, method.name), args, keywords);
    return null;
  }

  // Runs the alternative of a method that applies.
  #runMember(
    name: string,
    member: ReturnType<typeof memberOf>,
    args: readonly Value[],
    keywords: ReadonlyMap<string, Value>,
  ): Value {
    if (member === undefined) return null;
    if (member.kind === "constant") throw this.wrong(`a call of ${name}`);
    const { methods, from } = member;
    // A definition without a condition replaces all before it.
    const last = methods.findLastIndex(({ when }) => when === undefined);
    const alternatives = methods.slice(Math.max(last, 0)).filter(({ when }) => when !== undefined);
    const chosen = alternatives.find(({ when, line, isDecorated }) => {
      this.line = line;
      if (isDecorated) throw this.wrong(`the decorators of ${name}`);
      return when !== undefined && this.isWhen(when);
    });
    const method = chosen ?? methods[last];
    // Spack then looks at the bases.
    if (method === undefined) return this.#runMember(name, memberOfBases(this.recipe, from, name), args, keywords);
    return this.#runMethod(method, from, args, keywords);
  }

  #runMethod(method: Method, from: RecipeClass, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value {
    const before = [this.line, this.#from] as const;
    this.line = method.line;
    if (method.isDecorated) throw this.wrong(`the decorators of ${method.name}`);
    if (++this.#calls > CALLS) throw this.wrong("its methods call each other too deeply");
    const names = this.#bindParameters(method, args, keywords);
    this.#from = from;
    const outcome = this.#block(method.body, names);
    this.#calls--;
    [this.line, this.#from] = before;
    return outcome?.value ?? null;
  }

  #bindParameters(method: Method, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Names {
    const { parameters } = method;
    if (parameters === undefined || args.length > parameters.length)
      throw this.wrong(`the parameters of ${method.name}`);
    const names: Names = new Map([["self", SELF]]);
    for (const [at, { name, fallback }] of parameters.entries()) {
      const value = args[at] ?? keywords.get(name);
      if (value !== undefined && args[at] !== undefined && keywords.has(name)) throw this.wrong(`the argument ${name}`);
      if (value !== undefined) names.set(name, value);
      // An argument may be None, which is a value.
      else if (at < args.length || keywords.has(name)) names.set(name, null);
      else if (fallback !== undefined) names.set(name, this.value(fallback, new Map()));
      else throw this.wrong(`the argument ${name} of ${method.name}`);
    }
    if ([...keywords.keys()].some((name) => !parameters.some((one) => one.name === name)))
      throw this.wrong(`the arguments of ${method.name}`);
    return names;
  }

  #block(lines: readonly Line[], names: Names): Outcome {
    for (let at = 0; at < lines.length; at++) {
      const line = lines[at];
      if (line === undefined) break;
      this.line = line.number;
      this.step();
      const [first] = line.tokens;
      let outcome: Outcome;
      if (isName(first, "if")) {
        const branches = branchesAt(lines, at);
        this.step(branches.length);
        outcome = this.#if(branches, names);
        at += branches.length - 1;
      } else if (isName(first, "for")) {
        const next = lines[at + 1]?.tokens[0];
        if (isName(next, "else")) throw this.wrong("an else after a loop");
        outcome = this.#for(line, names);
      } else outcome = this.#simple(line, names);
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  #if(branches: readonly Line[], names: Names): Outcome {
    for (const { tokens, number, block } of branches) {
      this.line = number;
      const isElse = isName(tokens[0], "else");
      if (block === undefined || (isElse && tokens.length > 1)) throw this.wrong("a condition without a block");
      if (isElse || this.test(this.parse(tokens.slice(1), number), names)) return this.#block(block, names);
    }
    return undefined;
  }

  #for({ tokens, number, block }: Line, names: Names): Outcome {
    const at = tokens.findIndex((token) => isName(token, "in"));
    const targets = this.#targets(tokens.slice(1, Math.max(at, 1)));
    if (at < 0 || targets === undefined || block === undefined) throw this.wrong("a loop that is not understood");
    for (const item of this.items(this.value(this.parse(tokens.slice(at + 1), number), names))) {
      this.bind(targets, item, names);
      const outcome = this.#block(block, names);
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  // Plain names with commas; undefined for anything else.
  #targets(tokens: Line["tokens"]): string[] | undefined {
    const names: string[] = [];
    for (const [at, token] of tokens.entries())
      if (at % 2 === 1 ? !isOperator(token, ",") : token.kind !== "name") return undefined;
      else if (token.kind === "name") names.push(token.text);
    return names.length === 0 ? undefined : names;
  }

  #simple({ tokens, number, block }: Line, names: Names): Outcome {
    const [first, second] = tokens;
    if (block !== undefined || first === undefined) throw this.wrong(`a statement that begins with ${wordOf(first)}`);
    if (first.kind === "string" && tokens.length === 1) return undefined;
    if (isName(first, "pass") && tokens.length === 1) return undefined;
    if (isName(first, "return"))
      return { value: tokens.length === 1 ? null : this.value(this.parse(tokens.slice(1), number), names) };
    if (first.kind === "name" && (isOperator(second, "=") || isOperator(second, "+="))) {
      const value = this.value(this.parse(tokens.slice(2), number), names);
      names.set(first.text, isOperator(second, "=") ? value : this.#added(names.get(first.text), value));
      return undefined;
    }
    const targets = this.#unpacked(tokens);
    if (targets !== undefined) {
      const value = this.value(this.parse(tokens.slice(targets.length * 2), number), names);
      this.bind(targets, value, names);
      return undefined;
    }
    const expression = this.parse(tokens, number);
    if (expression.kind !== "call") throw this.wrong(`a statement that begins with ${wordOf(first)}`);
    this.#statementCall(expression, names);
    return undefined;
  }

  // The names before `=` in `a, b = …`.
  #unpacked(tokens: Line["tokens"]): string[] | undefined {
    const at = tokens.findIndex((token) => isOperator(token, "="));
    const isPlain = at > 1 && tokens.slice(0, at).every((token) => token.kind === "name" || isOperator(token, ","));
    return isPlain ? this.#targets(tokens.slice(0, at)) : undefined;
  }

  #added(before: Value | undefined, value: Value): Value {
    if (before === undefined || typeof before === "number") throw this.wrong("an addition to a value of another kind");
    if (!Array.isArray(before) || !Array.isArray(value)) return this.sum(before, value);
    extend(before, value, this);
    return before;
  }

  // Messages are not evaluated: their arguments may be anything.
  #statementCall(expression: Expression & { readonly kind: "call" }, names: Names): void {
    const { of } = expression;
    if (of.kind === "attribute" && of.of.kind === "name" && of.of.name === "tty" && !names.has("tty")) {
      const module = this.value(of.of, names);
      if (isThing(module) && module.kind === "module")
        if (["debug", "info", "msg", "verbose", "warn"].includes(of.name)) return;
    }
    this.value(expression, names);
  }

  #change(name: string, args: readonly Value[], keywords: ReadonlyMap<string, Value>): void {
    const form = FORMS.get(name);
    const refused = this.wrong(`env.${name}`);
    if (form === undefined || args.length > form.parameters.length) throw refused;
    const given = new Map(args.map((value, at) => [form.parameters[at] ?? "", value]));
    for (const [key, value] of keywords) {
      if (given.has(key) || ![...form.parameters, ...form.ignored].includes(key)) throw refused;
      given.set(key, value);
    }
    const text = (key: string): string => {
      const value = given.get(key);
      const found = value === undefined ? undefined : pathOf(value);
      if (found === undefined || found.includes("\0")) throw this.wrong(`the ${key} of env.${name}`);
      return found;
    };
    const variable = text("name");
    if (!/^[^=\0]+$/.test(variable)) throw this.wrong(`the name of env.${name}`);
    const [, second = "", third = ""] = form.parameters;
    const separator = third === "" || !given.has(third) ? form.separator : text(third);
    if (form.op === "unset") this.#modifications.push({ op: "unset", name: variable });
    else if (name === "set_path") {
      const parts = given.get(second);
      if (!Array.isArray(parts)) throw this.wrong("the elements of env.set_path");
      const texts = parts.map((part) => pathOf(part)).filter((part) => part !== undefined);
      if (texts.length !== parts.length) throw this.wrong("the elements of env.set_path");
      const value = joined(texts, separator, () => this.wrong("a text that is too long"));
      this.#modifications.push({ op: "set", name: variable, value });
    } else if (form.op === "set") this.#modifications.push({ op: "set", name: variable, value: text(second) });
    else {
      if (separator === "") throw this.wrong(`the separator of env.${name}`);
      this.#modifications.push({ op: form.op, name: variable, value: text(second), separator });
    }
    const last = this.#modifications.at(-1);
    this.#length += last !== undefined && "value" in last ? last.value.length : 0;
    if (this.#modifications.length <= MODIFICATIONS && this.#length <= LENGTH_LIMIT) return;
    this.#modifications.pop();
    throw this.wrong("it changes too many variables");
  }
}

const MODIFICATIONS = 2000;
/** Characters of all values; Linux passes no more than 2 MiB to a process. */
const LENGTH_LIMIT = 1024 * 1024;

// Only what the file defines: a base class of Spack may have any attribute.
function memberOfFile(recipe: Recipe, start: RecipeClass, name: string): ReturnType<typeof memberOf> {
  const hasIt = (one: RecipeClass, depth: number): boolean =>
    one.unknown.has(name) ||
    one.constants.has(name) ||
    one.methods.some((method) => method.name === name) ||
    (depth < 8 &&
      (one.bases ?? []).some((base) => {
        const local = recipe.classes.get(base);
        return local !== undefined && local !== one && hasIt(local, depth + 1);
      }));
  return hasIt(start, 0) ? memberOf(recipe, start, name) : undefined;
}

interface Form {
  readonly op: EnvModification["op"];
  readonly parameters: readonly string[];
  /** Keywords without a meaning for a value. */
  readonly ignored: readonly string[];
  readonly separator: string;
}

const pathForm = (op: EnvModification["op"]): Form => ({
  op,
  parameters: ["name", "path", "separator"],
  ignored: [],
  separator: ":",
});
const flagsForm = (op: EnvModification["op"]): Form => ({
  op,
  parameters: ["name", "value", "sep"],
  ignored: [],
  separator: " ",
});

// The methods of Spack's `EnvironmentModifications`.
const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ["set", { op: "set", parameters: ["name", "value"], ignored: ["force", "raw"], separator: "" }],
  ["unset", { op: "unset", parameters: ["name"], ignored: [], separator: "" }],
  ["set_path", { op: "set", parameters: ["name", "elements", "separator"], ignored: [], separator: ":" }],
  ["append_path", pathForm("append-path")],
  ["prepend_path", pathForm("prepend-path")],
  ["remove_path", pathForm("remove-path")],
  ["remove_first_path", pathForm("remove-first-path")],
  ["remove_last_path", pathForm("remove-last-path")],
  ["append_flags", flagsForm("append-flags")],
  ["remove_flags", flagsForm("remove-flags")],
]);

// An `if` with the branches that follow it.
function branchesAt(lines: readonly Line[], at: number): readonly Line[] {
  let end = at + 1;
  while (isName(lines[end]?.tokens[0], "elif") || isName(lines[end]?.tokens[0], "else")) end++;
  return lines.slice(at, end);
}

const wordOf = (token: Line["tokens"][number] | undefined): string =>
  token !== undefined && "text" in token ? token.text.slice(0, 40) : "this";
