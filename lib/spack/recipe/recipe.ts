// The outline of a recipe: what its module imports and assigns, and of each class the bases, the directives, the
// assignments and the methods. Bodies are kept as lines; recipe-methods.ts and recipe-facts.ts read them.
import { type Expression, parseExpression } from "./python-expression.ts";
import { type Line, linesOf } from "./python-lines.ts";
import { NotUnderstood, type Token } from "./python-tokens.ts";

/** A parameter of a method. */
export interface Parameter {
  readonly name: string;
  readonly fallback: Expression | undefined;
}

/** A definition of a method. */
export interface Method {
  readonly name: string;
  readonly line: number;
  /** Without `self`; undefined for stars and other forms that are not understood. */
  readonly parameters: readonly Parameter[] | undefined;
  /** The condition of a `@when` decorator. */
  readonly when: Expression | undefined;
  readonly isProperty: boolean;
  /** It has decorators that are not understood. */
  readonly isDecorated: boolean;
  readonly body: readonly Line[];
}

/** A call in the body of a class, with the conditions of the `with when(...)` blocks around it. */
export interface Directive {
  readonly name: string;
  readonly line: number;
  readonly call: Expression & { readonly kind: "call" };
  /** Undefined if it stands in a block that is not understood. */
  readonly when: readonly Expression[] | undefined;
}

/** A class of a recipe. */
export interface RecipeClass {
  readonly name: string;
  readonly line: number;
  /** The names of its bases, possibly dotted; undefined if one is not a name. */
  readonly bases: readonly string[] | undefined;
  /** In the order of their definition. */
  readonly methods: readonly Method[];
  readonly constants: ReadonlyMap<string, Line>;
  readonly directives: readonly Directive[];
  /** Names that are set in ways that are not understood. */
  readonly unknown: ReadonlySet<string>;
}

/** The outline of a recipe. */
export interface Recipe {
  /** The module of each imported name; `*` for names of `from MODULE import *`. */
  readonly imports: ReadonlyMap<string, string>;
  readonly starImports: readonly string[];
  readonly constants: ReadonlyMap<string, Line>;
  /** Functions, conditional assignments and other names whose values are not understood. */
  readonly unknown: ReadonlySet<string>;
  readonly classes: ReadonlyMap<string, RecipeClass>;
  /** The class of the package: the last one of the file. */
  readonly package: RecipeClass;
}

/** Reads the outline of a recipe. Throws NotUnderstood if it is not Python, or has no class. */
export function parseRecipe(text: string): Recipe {
  const imports = new Map<string, string>();
  const starImports: string[] = [];
  const scope = new Scope();
  const classes = new Map<string, RecipeClass>();
  let last: RecipeClass | undefined;
  let decorators = 0;
  for (const line of linesOf(text)) {
    const [first, second] = line.tokens;
    if (isOperator(first, "@")) {
      decorators++;
      continue;
    }
    if (isName(first, "class") && second?.kind === "name") {
      last = parseClass(line, second.text, decorators > 0);
      classes.set(last.name, last);
    } else if (isName(first, "from") || isName(first, "import")) readImport(line, imports, starImports, scope);
    else scope.add(line);
    decorators = 0;
  }
  if (last === undefined) throw new NotUnderstood(1, "it has no class");
  return { imports, starImports, constants: scope.constants, unknown: scope.unknown, classes, package: last };
}

// The names that assignments and definitions of a block make.
class Scope {
  readonly constants = new Map<string, Line>();
  readonly unknown = new Set<string>();

  add(line: Line): void {
    const [first, second, third] = line.tokens;
    const isPlain = first?.kind === "name" && isOperator(second, "=") && topLevel(line.tokens, "=").length === 1;
    if (isPlain && line.block === undefined && !this.constants.has(first.text)) this.constants.set(first.text, line);
    else if (first?.kind === "name" && isOperator(second, ".") && third?.kind === "name" && CHANGES.has(third.text))
      this.unknown.add(first.text);
    else for (const name of boundNames([line])) this.unknown.add(name);
  }
}

// The methods that change a list or a dictionary.
const CHANGES = new Set(["append", "extend", "insert", "remove", "update", "pop", "clear", "sort", "reverse", "add"]);
const ASSIGNMENT = /^(?:[-+*/%@&|^]|\*\*|\/\/|<<|>>)?=$/;

// The names that statements and the blocks below them may set.
function* boundNames(lines: readonly Line[]): Iterable<string> {
  for (const { tokens, block } of lines) {
    const [first, second] = tokens;
    const word = first?.kind === "name" ? first.text : "";
    if (word === "def" || word === "class") yield* namesOf(tokens.slice(1, 2));
    else if (word === "from" || word === "import" || word === "del") yield* namesOf(tokens);
    else if (word === "async") yield* namesOf(tokens);
    else if (word === "for") yield* namesOf(tokens.slice(0, topLevelName(tokens, "in")));
    else if (word === "with" || word === "except") yield* namesOf(tokens.slice(1));
    else {
      const last = tokens.findLastIndex((token) => token.kind === "operator" && ASSIGNMENT.test(token.text));
      if (last >= 0 || isOperator(second, ":")) yield* namesOf(tokens.slice(0, Math.max(last, 1)));
    }
    for (const [at, token] of tokens.entries()) if (isOperator(token, ":=")) yield* namesOf(tokens.slice(at - 1, at));
    if (block !== undefined && word !== "def" && word !== "class") yield* boundNames(block);
  }
}

function* namesOf(tokens: readonly Token[]): Iterable<string> {
  for (const token of tokens) if (token.kind === "name") yield token.text;
}

function topLevelName(tokens: readonly Token[], text: string): number {
  const at = tokens.findIndex((token) => isName(token, text));
  return at < 0 ? tokens.length : at;
}

/** The places of an operator outside brackets. */
function topLevel(tokens: readonly Token[], text: string): number[] {
  const found: number[] = [];
  let depth = 0;
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== "operator") continue;
    if (depth === 0 && token.text === text) found.push(at);
    if ("([{".includes(token.text)) depth++;
    else if (")]}".includes(token.text)) depth--;
  }
  return found;
}

function readImport({ tokens }: Line, imports: Map<string, string>, stars: string[], scope: Scope): void {
  const words = tokens.flatMap((token) => (token.kind === "name" || token.kind === "operator" ? [token.text] : []));
  const at = words.indexOf("import");
  const module = words[0] === "from" ? words.slice(1, at).join("") : undefined;
  const names = words.slice(at + 1).filter((word) => word !== "(" && word !== ")");
  for (const name of names.join(" ").split(" , ")) {
    const [path = "", alias] = name.replace(/ ,$/, "").split(" as ");
    const plain = path.replaceAll(" ", "");
    if (plain === "*" && module !== undefined) stars.push(module);
    else if (module !== undefined) imports.set(alias ?? plain, `${module}.${plain}`);
    else imports.set(alias ?? plain.split(".")[0] ?? "", alias === undefined ? (plain.split(".")[0] ?? "") : plain);
    scope.unknown.delete(alias ?? plain);
  }
}

function parseClass(line: Line, name: string, isDecorated: boolean): RecipeClass {
  const scope = new Scope();
  const methods: Method[] = [];
  const directives: Directive[] = [];
  const read = (lines: readonly Line[], when: readonly Expression[] | undefined, isTop: boolean): void => {
    let decorators: Line[] = [];
    for (const one of lines) {
      const [first] = one.tokens;
      if (isOperator(first, "@")) {
        decorators.push(one);
        continue;
      }
      if (isName(first, "def")) {
        const method = parseMethod(one, decorators);
        if (method === undefined || !isTop) for (const token of one.tokens.slice(1, 2)) poison(scope, token);
        else methods.push(method);
      } else if (isName(first, "with") && one.block !== undefined) {
        const condition = whenOf(one.tokens.slice(1), one.number);
        const keeps = when === undefined ? undefined : condition;
        read(one.block, keeps === undefined ? undefined : [...(when ?? []), ...keeps], false);
      } else if (one.block !== undefined) {
        scope.add(one);
        if (!isName(first, "class")) read(one.block, undefined, false);
      } else if (!addDirective(directives, one, when)) scope.add(one);
      decorators = [];
    }
  };
  read(line.block ?? [], [], true);
  const { constants, unknown } = scope;
  return {
    name,
    line: line.number,
    bases: isDecorated ? undefined : basesOf(line),
    methods,
    constants,
    directives,
    unknown,
  };
}

function poison(scope: Scope, token: Token): void {
  if (token.kind === "name") scope.unknown.add(token.text);
}

// `with when("+x"):` and `with default_args(type="run"):`; undefined for other conditions.
function whenOf(tokens: readonly Token[], line: number): Expression[] | undefined {
  try {
    const found = parseExpression(tokens, line);
    if (found.kind !== "call" || found.of.kind !== "name") return undefined;
    // A default condition would be replaced by a directive's own.
    if (found.of.name === "default_args") return found.keywords.has("when") ? undefined : [];
    const [when] = found.args;
    return found.of.name === "when" && when !== undefined && found.args.length === 1 ? [when] : undefined;
  } catch (error) {
    if (error instanceof NotUnderstood) return undefined;
    throw error;
  }
}

// A call of a plain name; true if the line is one.
function addDirective(directives: Directive[], line: Line, when: readonly Expression[] | undefined): boolean {
  const [first, second] = line.tokens;
  if (first?.kind !== "name" || !isOperator(second, "(")) return false;
  try {
    const call = parseExpression(line.tokens, line.number);
    if (call.kind === "call") directives.push({ name: first.text, line: line.number, call, when });
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    const call = {
      kind: "call",
      of: { kind: "name", name: first.text },
      args: [],
      keywords: new Map(),
    } as const;
    // Its arguments are unknown, and so is whether it applies.
    directives.push({ name: first.text, line: line.number, call, when: undefined });
  }
  return true;
}

function basesOf({ tokens }: Line): string[] | undefined {
  const inner = tokens.slice(2);
  if (inner.length === 0) return [];
  const text = inner.slice(1, -1).map((token) => ("text" in token && token.kind !== "string" ? token.text : " "));
  const names = text.join("").split(",");
  if (names.at(-1) === "") names.pop();
  return names.every((name) => /^[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*$/u.test(name)) ? names : undefined;
}

function parseMethod(line: Line, decorators: readonly Line[]): Method | undefined {
  const [, name] = line.tokens;
  if (name?.kind !== "name" || line.block === undefined) return undefined;
  let when: Expression | undefined;
  let isProperty = false;
  let isDecorated = false;
  for (const { tokens, number } of decorators) {
    const condition = whenOf(tokens.slice(1), number);
    if (condition?.[0] !== undefined && when === undefined && isName(tokens[1], "when")) [when] = condition;
    else if (tokens.length === 2 && isName(tokens[1], "property")) isProperty = true;
    else isDecorated = true;
  }
  return {
    name: name.text,
    line: line.number,
    parameters: parametersOf(line),
    when,
    isProperty,
    isDecorated: isDecorated || (isProperty && when !== undefined),
    body: line.block,
  };
}

// The parameters between the brackets, without annotations.
function parametersOf({ tokens, number }: Line): Parameter[] | undefined {
  const inner = tokens.slice(3, closingOf(tokens, 2));
  const ends = [...topLevel(inner, ","), inner.length];
  const parts = ends.map((end, at) => inner.slice(at === 0 ? 0 : (ends[at - 1] ?? 0) + 1, end));
  if (parts.at(-1)?.length === 0) parts.pop();
  const [self, ...others] = parts;
  if (!isName(self?.[0], "self") || self?.length !== 1) return undefined;
  const parameters: Parameter[] = [];
  for (const part of others) {
    const [name] = part;
    if (name?.kind !== "name") return undefined;
    const [at] = topLevel(part, "=");
    try {
      const fallback = at === undefined ? undefined : parseExpression(part.slice(at + 1), number);
      parameters.push({ name: name.text, fallback });
    } catch (error) {
      if (error instanceof NotUnderstood) return undefined;
      throw error;
    }
  }
  return parameters;
}

function closingOf(tokens: readonly Token[], opening: number): number {
  let depth = 0;
  for (let at = opening; at < tokens.length; at++) {
    const token = tokens[at];
    if (token?.kind !== "operator") continue;
    if ("([{".includes(token.text)) depth++;
    else if (")]}".includes(token.text)) depth--;
    if (depth === 0) return at;
  }
  return tokens.length;
}

/** True for a name token of a text. */
export function isName(token: Token | undefined, text: string): boolean {
  return token?.kind === "name" && token.text === text;
}

/** True for an operator token of a text. */
export function isOperator(token: Token | undefined, text: string): boolean {
  return token?.kind === "operator" && token.text === text;
}
