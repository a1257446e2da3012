// Computes the values of a recipe's expressions for one concrete spec, without executing anything. An expression whose
// value cannot be known throws NotUnderstood.
import type { SpecNode } from "../spec/node.ts";
import { findDependency } from "../spec/spec-format.ts";
import type { Expression } from "./python-expression.ts";
import { parseExpression } from "./python-expression.ts";
import type { Line } from "./python-lines.ts";
import { NotUnderstood } from "./python-tokens.ts";
import type { Recipe } from "./recipe.ts";
import {
  bounded,
  callFunction,
  callMethod,
  joined,
  LIST_LIMIT,
  PREFIX_TEXT_METHODS,
  taker,
} from "./recipe-functions.ts";
import { importedName } from "./recipe-scope.ts";
import {
  equals,
  isThing,
  isTrue,
  joinPaths,
  type MethodValue,
  orderOfVersions,
  pathOf,
  textOf,
  type Value,
  versionUpTo,
} from "./recipe-values.ts";
import { type RecipeWorld, SpecQuestions } from "./spec-questions.ts";

/** The names of a block. */
export type Names = Map<string, Value>;

const STEPS = 20_000;
/** How deep values may be in each other: `a.b.c` and `a + b + c` have a depth of 3. */
const DEPTH = 400;
/** The tokens of all expressions, each counted as often as it is parsed. */
const TOKENS = 2_000_000;
/** Characters, or items of a list, that count as one more step. */
const SIZE_OF_STEP = 1024;

/** Evaluates expressions of one recipe for one spec. */
export class Evaluator {
  readonly recipe: Recipe;
  readonly world: RecipeWorld;
  /** Answers what is asked about specs. */
  readonly specs: SpecQuestions;
  /** The line of the statement in progress. */
  line = 1;
  #steps = 0;
  #depth = 0;
  #tokens = 0;
  readonly #constants = new Set<string>();

  constructor(recipe: Recipe, world: RecipeWorld) {
    this.recipe = recipe;
    this.world = world;
    this.specs = new SpecQuestions(world, this);
  }

  /** The error for this statement. */
  wrong(reason: string): NotUnderstood {
    return new NotUnderstood(this.line, reason);
  }

  /** Counts a step of the work, which is bounded; handling long texts and lists takes more. */
  step(size = 0): void {
    this.#steps += 1 + Math.floor(size / SIZE_OF_STEP);
    if (this.#steps > STEPS) throw this.wrong("it takes too many steps");
  }

  /** Parses an expression of a statement. A loop parses its statements again, so this work is bounded, too. */
  parse(tokens: Line["tokens"], line: number): Expression {
    this.#tokens += tokens.length;
    if (this.#tokens > TOKENS) throw this.wrong("it takes too many steps");
    return parseExpression(tokens, line);
  }

  /** Whether a condition holds. */
  test(expression: Expression, names: Names): boolean {
    const found = isTrue(this.value(expression, names));
    if (found === undefined) throw this.wrong("a condition on a value of another kind");
    return found;
  }

  /** The text of an expression: a string or a folder. */
  text(expression: Expression, names: Names): string {
    const text = pathOf(this.value(expression, names));
    if (text === undefined) throw this.wrong("a value that is no text");
    return text;
  }

  /** The value of an expression. */
  value(expression: Expression, names: Names): Value {
    this.step();
    if (this.#depth >= DEPTH) throw this.wrong("the expression is too deep");
    this.#depth++;
    try {
      return this.#checked(this.#valueOf(expression, names));
    } finally {
      this.#depth--;
    }
  }

  // Every value is within bounds, so that later work with it is, too.
  #checked(value: Value): Value {
    const text = Array.isArray(value) ? undefined : textOf(value);
    if (text !== undefined && text.length > SIZE_OF_STEP)
      this.step(bounded(text, () => this.wrong("a text that is too long")).length);
    if (Array.isArray(value) && value.length > LIST_LIMIT) throw this.wrong("a list that is too long");
    return value;
  }

  #valueOf(expression: Expression, names: Names): Value {
    switch (expression.kind) {
      case "constant":
        return expression.value;
      case "name":
        return this.#name(expression.name, names);
      case "format":
        return this.#format(expression.parts, names);
      case "list":
      case "tuple":
        return expression.items.map((item) => this.value(item, names));
      case "not":
        return !this.test(expression.of, names);
      case "minus": {
        const value = this.value(expression.of, names);
        if (typeof value !== "number") throw this.wrong("the negative of a value that is no number");
        return -value;
      }
      case "choice":
        return this.value(this.test(expression.test, names) ? expression.then : expression.otherwise, names);
      case "binary":
        return this.#binary(expression, names);
      case "attribute":
        return this.attribute(this.value(expression.of, names), expression.name);
      case "index":
        return this.#index(this.value(expression.of, names), this.value(expression.index, names));
      case "slice":
        return this.#slice(expression, names);
      case "comprehension":
        return this.#comprehension(expression, names);
      case "call":
        return this.#call(expression, names);
    }
  }

  /** An attribute of the package itself; a subclass knows its methods and constants. */
  packageAttribute(name: string): Value {
    throw this.wrong(`self.${name}`);
  }

  /** Calls a method of the package itself. */
  callOwn(_method: MethodValue, _args: readonly Value[], _keywords: ReadonlyMap<string, Value>): Value {
    throw this.wrong("a call of a method");
  }

  /** The value of an assignment `NAME = value`. */
  constant(line: Line, names: Names): Value {
    const before = this.line;
    const key = `${line.number}`;
    if (this.#constants.has(key)) throw this.wrong("a value that needs itself");
    this.#constants.add(key);
    this.line = line.number;
    try {
      return this.value(this.parse(line.tokens.slice(2), line.number), names);
    } finally {
      this.#constants.delete(key);
      this.line = before;
    }
  }

  #name(name: string, names: Names): Value {
    const local = names.get(name);
    if (local !== undefined) return local;
    const { recipe } = this;
    const constant = recipe.unknown.has(name) ? undefined : recipe.constants.get(name);
    if (constant !== undefined) return this.constant(constant, new Map());
    const imported = importedName(recipe, name);
    if (imported === undefined) throw this.wrong(`the name ${name}`);
    return { kind: "module", name: imported };
  }

  #format(parts: readonly (string | Expression)[], names: Names): string {
    const texts = parts.map((part) => {
      if (typeof part === "string") return part;
      const text = textOf(this.value(part, names));
      if (text === undefined) throw this.wrong("a value in an f-string that is no text");
      return text;
    });
    return joined(texts, "", () => this.wrong("a text that is too long"));
  }

  #binary({ operator, left, right }: Expression & { readonly kind: "binary" }, names: Names): Value {
    if (operator === "and" || operator === "or") {
      const value = this.value(left, names);
      const holds = isTrue(value);
      if (holds === undefined) throw this.wrong("a condition on a value of another kind");
      return holds === (operator === "and") ? this.value(right, names) : value;
    }
    const a = this.value(left, names);
    const b = this.value(right, names);
    if (operator === "+") return this.sum(a, b);
    if (operator === "%") return this.#percent(a, right.kind === "tuple" && Array.isArray(b) ? b : [b]);
    return this.#compare(operator, a, b);
  }

  /** Python's `a + b`. */
  sum(a: Value, b: Value): Value {
    if (typeof a === "number" && typeof b === "number") return a + b;
    if (Array.isArray(a) && Array.isArray(b) && a.length + b.length <= LIST_LIMIT) {
      this.step(a.length + b.length);
      return [...a, ...b];
    }
    const [one, other] = [pathOf(a), pathOf(b)];
    if (one === undefined || other === undefined) throw this.wrong("a sum of values that are no texts");
    return bounded(one + other, () => this.wrong("a text that is too long"));
  }

  #percent(format: Value, values: readonly Value[]): string {
    if (typeof format !== "string") throw this.wrong("a remainder");
    let at = 0;
    const take = taker(() => this.wrong("a text that is too long"));
    const text = format.replaceAll(/%(.?)/g, (_, kind: string) => {
      if (kind === "%") return "%";
      const value = values[at++];
      const found = value === undefined ? undefined : textOf(value);
      if (kind !== "s" || found === undefined) throw this.wrong("a format that is not understood");
      return take(found);
    });
    if (at !== values.length) throw this.wrong("a format with more values than places");
    return text;
  }

  #compare(operator: string, a: Value, b: Value): boolean {
    if (operator === "in" || operator === "not in") return this.#contains(b, a) === (operator === "in");
    if (operator === "is" || operator === "is not") {
      const isPlain = (value: Value): boolean => value === null || typeof value === "boolean";
      if (!isPlain(b) && !isPlain(a)) throw this.wrong("a comparison by identity");
      return (a === b) === (operator === "is");
    }
    if (operator === "==" || operator === "!=") {
      const same = equals(a, b);
      if (same === undefined) throw this.wrong("a comparison of values of other kinds");
      return same === (operator === "==");
    }
    const order = typeof a === "number" && typeof b === "number" ? a - b : orderOfVersions(a, b);
    if (order === undefined) throw this.wrong("a comparison of values that are no versions");
    if (operator === "<") return order < 0;
    if (operator === ">") return order > 0;
    return operator === "<=" ? order <= 0 : order >= 0;
  }

  #contains(whole: Value, part: Value): boolean {
    if (Array.isArray(whole)) {
      this.step(whole.length * SIZE_OF_STEP);
      const found = whole.map((item) => equals(item, part));
      if (found.includes(undefined)) throw this.wrong("a search for a value of another kind");
      return found.includes(true);
    }
    const text = pathOf(part);
    if (text === undefined) throw this.wrong("a search for a value of another kind");
    const inside = pathOf(whole);
    if (inside !== undefined) return inside.includes(text);
    if (isThing(whole)) {
      if (whole.kind === "spec") return this.specs.contains(whole.node, text);
      if (whole.kind === "variants") return whole.node.variants.has(text);
    }
    throw this.wrong("a search in a value of another kind");
  }

  /** True if this spec satisfies a condition, as a `@when` decorator has it. */
  isWhen(condition: Expression): boolean {
    const value = this.value(condition, new Map());
    if (typeof value === "boolean") return value;
    if (typeof value !== "string") throw this.wrong("a condition that is no text");
    return this.specs.satisfies(this.world.node, value);
  }

  /** An attribute of a value. */
  attribute(value: Value, name: string): Value {
    if (isThing(value)) {
      if (value.kind === "prefix")
        return PREFIX_TEXT_METHODS.has(name) || name.startsWith("__")
          ? { kind: "method", of: value, name }
          : { kind: "prefix", path: joinPaths(value.path, name) };
      if (value.kind === "spec") return this.specs.attribute(value.node, name);
      if (value.kind === "version") return this.specs.versionAttribute(value.text, name);
      if (value.kind === "variant" && name === "value")
        return Array.isArray(value.value) ? [...value.value] : (value.value as string | boolean);
      if (value.kind === "module") return this.#moduleAttribute(value.name, name);
      if (value.kind === "package")
        return value.of === undefined ? this.packageAttribute(name) : { kind: "method", of: value, name };
    }
    return { kind: "method", of: value, name };
  }

  #moduleAttribute(module: string, name: string): Value {
    if (module === "sys" && name === "platform") return "linux";
    if (module === "os" && name === "pathsep") return ":";
    if ((module === "os" || module === "os.path") && name === "sep") return "/";
    return { kind: "module", name: `${module}.${name}` };
  }

  #index(of: Value, index: Value): Value {
    if (Array.isArray(of) && typeof index === "number") {
      const found = of.at(index);
      if (found !== undefined) return found;
    } else if (isThing(of) && typeof index === "string") {
      if (of.kind === "variants") {
        const value = of.node.variants.get(index);
        if (value !== undefined) return { kind: "variant", value };
      }
      // A colon asks for a part of a package: `hdf5:cxx`.
      const found = of.kind === "spec" && !index.includes(":") ? findDependency(of.node, index) : undefined;
      if (found !== undefined) return { kind: "spec", node: found };
    }
    throw this.wrong(`the item ${typeof index === "string" ? index.slice(0, 60) : "of this place"}`);
  }

  #slice({ of, from, to }: Expression & { readonly kind: "slice" }, names: Names): Value {
    const whole = this.value(of, names);
    const start = from === undefined ? 0 : this.value(from, names);
    const end = to === undefined ? undefined : this.value(to, names);
    if (typeof start !== "number" || (end !== undefined && typeof end !== "number"))
      throw this.wrong("a slice by values that are no numbers");
    if (Array.isArray(whole) || typeof whole === "string") return whole.slice(start, end);
    const isVersion = isThing(whole) && whole.kind === "version";
    const found = isVersion && start === 0 && end !== undefined ? versionUpTo(whole.text, end) : undefined;
    if (found === undefined) throw this.wrong("a slice of a value of another kind");
    return { kind: "version", text: found };
  }

  #comprehension(expression: Expression & { readonly kind: "comprehension" }, names: Names): Value {
    this.step(names.size);
    const inner: Names = new Map(names);
    const out: Value[] = [];
    for (const item of this.items(this.value(expression.of, names))) {
      this.bind(expression.names, item, inner);
      if (expression.test === undefined || this.test(expression.test, inner))
        out.push(this.value(expression.item, inner));
    }
    return out;
  }

  /** The items of a list. */
  items(value: Value): readonly Value[] {
    if (!Array.isArray(value)) throw this.wrong("a loop over a value that is no list");
    this.step(value.length);
    return [...value];
  }

  /** Assigns an item to one name, or its parts to several. */
  bind(targets: readonly string[], item: Value, names: Names): void {
    const [only] = targets;
    if (targets.length === 1 && only !== undefined) return void names.set(only, item);
    if (!Array.isArray(item) || item.length !== targets.length) throw this.wrong("an assignment to several names");
    for (const [at, name] of targets.entries()) names.set(name, item[at] ?? null);
  }

  #call({ of, args, keywords }: Expression & { readonly kind: "call" }, names: Names): Value {
    const called = this.value(of, names);
    if (!isThing(called)) throw this.wrong("a call of a value");
    const values = args.map((arg) => this.value(arg, names));
    const named = new Map([...keywords].map(([name, value]) => [name, this.value(value, names)]));
    if (called.kind === "module")
      return called.name === "super" && values.length === 0
        ? { kind: "bases" }
        : callFunction(called.name, values, named, this);
    if (called.kind !== "method") throw this.wrong("a call of a value");
    const owner = called.of;
    if (isThing(owner)) {
      if (owner.kind === "spec") return this.specs.call(owner.node, called.name, values, named);
      if (owner.kind === "package" && owner.of !== undefined) return this.#callPackage(owner.of, called.name, values);
      if (owner.kind === "package" || owner.kind === "environment" || owner.kind === "bases")
        return this.callOwn(called, values, named);
    }
    return callMethod(owner, called.name, values, named, this);
  }

  // `dependent_spec.package.extends(self.spec)` is all that can be asked of another package.
  #callPackage(node: SpecNode, name: string, [spec]: readonly Value[]): Value {
    const isSelf = isThing(spec) && spec.kind === "spec" && spec.node === this.world.node;
    if (name !== "extends" || !isSelf) throw this.wrong(`a call of ${name} of another package`);
    return this.world.isExtension(node);
  }
}
