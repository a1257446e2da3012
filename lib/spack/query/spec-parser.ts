// Parses spec texts into queries, with the grammar of Spack 1.x (`spec_parser.py`), which includes that of 0.x.
import { StaveError } from "../../errors.ts";
import { printable } from "../../printable/printable.ts";
import type { Toolchain, Toolchains } from "../config/toolchains.ts";
import { ALL_TYPES, BUILD, LINK, RUN, TEST } from "../spec/node.ts";
import { formatPlace } from "../text/yaml.ts";
import { ANY, type QueryEdge, type QueryHost, type SpecQuery } from "./query.ts";
import { NodeBuilder } from "./query-builder.ts";
import { combined, type Dependency, EdgeList } from "./query-edges.ts";
import { merge } from "./query-merge.ts";
import { packageOfCompiler } from "./satisfies.ts";
import { syntaxError, type Token, type TokenKind, tokenize } from "./spec-lexer.ts";

/** The context that gives some words of a spec their meaning. */
export interface QueryContext {
  /** For the reserved words `os=fe`, `target=default_target` and the like. */
  readonly host?: QueryHost | undefined;
  /** Expands `%name`. */
  readonly toolchains?: Toolchains | undefined;
}

const DEPENDENCY_TYPES: ReadonlyMap<string, number> = new Map([
  ["link", LINK],
  ["run", RUN],
  ["build", BUILD],
  ["test", TEST],
  ["all", ALL_TYPES],
]);

const IDENTIFIER = /^[a-zA-Z_0-9][a-zA-Z_0-9-]*$/;
const MAX_DEPTH = 4;
const MAX_NESTING = 16;

/**
 * Parses all specs in a text; a package name starts a new one. Throws SPEC_INVALID with the column and a caret line.
 */
export function parseQueries(text: string, context: QueryContext = {}): SpecQuery[] {
  return new Parser(text, outermost(context)).all();
}

/** Parses exactly one spec. Throws SPEC_INVALID with the column and a caret line. */
export function parseQuery(text: string, context: QueryContext = {}): SpecQuery {
  return new Parser(text, outermost(context)).one();
}

// Shared with the parsers of nested specs.
interface Surroundings {
  readonly host: QueryHost | undefined;
  readonly toolchains: Toolchains;
  /** Toolchains already parsed. */
  readonly expanded: Map<string, SpecQuery>;
  /** Toolchains being parsed. */
  readonly expanding: readonly string[];
  /** The nesting depth of this condition. */
  readonly depth: number;
}

function outermost({ host, toolchains = new Map() }: QueryContext): Surroundings {
  return { host, toolchains, expanded: new Map(), expanding: [], depth: 0 };
}

interface EdgeAttributes {
  virtuals: readonly string[];
  types: number;
  when: SpecQuery | undefined;
}

class Parser {
  readonly #text: string;
  readonly #around: Surroundings;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string, around: Surroundings) {
    this.#text = text;
    this.#around = around;
    this.#tokens = tokenize(text);
  }

  all(): SpecQuery[] {
    const found: SpecQuery[] = [];
    while (this.#at < this.#tokens.length) found.push(this.#spec());
    return found;
  }

  one(): SpecQuery {
    if (this.#tokens.length === 0) throw new StaveError("SPEC_INVALID", "the spec is empty, expected a name or a hash");
    const query = this.#spec();
    const more = this.#tokens[this.#at];
    if (more) throw this.#wrong(more, "a second spec begins here, expected one");
    return query;
  }

  #spec(): SpecQuery {
    const before = this.#at;
    let root = this.#node();
    const edges = new EdgeList();
    // The `^` that following `%` belong to, if any.
    let below: Dependency | undefined;
    for (let sigil = this.#sigil(); sigil; sigil = this.#sigil()) {
      const direct = sigil.text.startsWith("%");
      const propagated = sigil.text.startsWith("%%");
      const toolchain = this.#toolchain(sigil);
      if (toolchain) {
        const { edges: asked, ...node } = toolchain;
        this.#telling(sigil, () => {
          if (below) below.constrain({ ...node, edges: [] });
          else root = merge(root, { ...node, edges: [] });
          (below?.below ?? edges).constrain(propagated ? asked.map((edge) => ({ ...edge, propagated })) : asked);
        });
        continue;
      }
      const attributes = sigil.kind === "startEdge" ? this.#attributes() : NO_ATTRIBUTES;
      const assignment = this.#tokens[this.#at - 1]?.assignment;
      const node = this.#node(assignment?.name, sigil);
      const child = direct && node.name !== undefined ? { ...node, name: packageOfCompiler(node.name) } : node;
      const virtuals = [...new Set([...attributes.virtuals, ...(assignment?.virtuals ?? [])])];
      const edge: QueryEdge = { ...attributes, direct, propagated, virtuals, child };
      this.#telling(sigil, () => {
        if (direct) (below?.below ?? edges).add(edge);
        else below = edges.add(edge);
      });
    }
    const first = this.#tokens[before];
    if (this.#at === before && first) throw this.#wrong(first, `"${printable(first.text)}" is not expected here`);
    return { ...root, edges: edges.list() };
  }

  // A toolchain in place of a spec: the name after a plain `%`. Text after it starts another spec.
  #toolchain({ kind, text, assignment }: Token): SpecQuery | undefined {
    const token = this.#tokens[this.#at];
    if (kind !== "dependency" || text === "^" || assignment || token?.kind !== "name") return undefined;
    const definition = this.#around.toolchains.get(token.text);
    if (!definition) return undefined;
    this.#at++;
    const known = this.#around.expanded.get(token.text);
    if (known) return known;
    const made = this.#telling(token, () => this.#expand(token.text, definition));
    this.#around.expanded.set(token.text, made);
    return made;
  }

  #expand(name: string, { parts, place }: Toolchain): SpecQuery {
    const around = { ...this.#around, expanding: [...this.#around.expanding, name] };
    const read = (text: string): SpecQuery => new Parser(text, around).one();
    try {
      if (this.#around.expanding.includes(name))
        throw invalid(`it leads back to itself: ${around.expanding.join(", ")}`);
      if (around.expanding.length > MAX_NESTING) throw invalid(`toolchains are nested more than ${MAX_NESTING} deep`);
      return combined(parts.map(({ spec, when }) => [read(spec), when === undefined ? undefined : read(when)]));
    } catch (error) {
      if (!(error instanceof StaveError)) throw error;
      throw invalid(`the toolchain ${printable(name)} (${formatPlace(place)}) is wrong: ${error.message}`);
    }
  }

  #sigil(): Token | undefined {
    return this.#accept("startEdge") ?? this.#accept("dependency");
  }

  #accept(kind: TokenKind): Token | undefined {
    const token = this.#tokens[this.#at];
    if (token?.kind !== kind) return undefined;
    this.#at++;
    return token;
  }

  // `given` is the package of `virtual=package`; `sigil` starts the dependency and must not stand alone.
  #node(given?: string, sigil?: Token): SpecQuery {
    const start = this.#at;
    const name = given ?? this.#accept("name")?.text;
    const file = name === undefined ? this.#accept("file") : undefined;
    if (file) return { ...ANY, file: file.text };
    const builder = new NodeBuilder(name, this.#around.host);
    for (let token = this.#tokens[this.#at]; token; token = this.#tokens[++this.#at]) {
      if (token.kind === "hash" && builder.hasHash) break;
      const problem = builder.take(token);
      if (problem === "foreign") break;
      if (problem !== undefined) throw this.#wrong(token, problem);
    }
    if (sigil && given === undefined && this.#at === start)
      throw this.#wrong(sigil, "a package name or another requirement must follow");
    return builder.build();
  }

  #attributes(): EdgeAttributes {
    const attributes: EdgeAttributes = { virtuals: [], types: 0, when: undefined };
    for (;;) {
      if (this.#accept("endEdge")) return attributes;
      const token = this.#tokens[this.#at];
      const pair = token?.pair;
      if (!token || !pair || pair.sign.endsWith("=="))
        throw this.#wrong(token, "expected deptypes=, virtuals=, when= or the closing bracket");
      this.#at++;
      this.#attribute(attributes, token, pair.key, pair.value.trim());
    }
  }

  #attribute(attributes: EdgeAttributes, token: Token, key: string, value: string): void {
    if (key === "virtuals") {
      attributes.virtuals = value.split(",");
      if (!attributes.virtuals.every((name) => IDENTIFIER.test(name)))
        throw this.#wrong(token, `"${printable(value)}" are not names of virtual packages`);
    } else if (key === "deptypes") {
      attributes.types = 0;
      for (const name of value.split(",")) {
        const type = DEPENDENCY_TYPES.get(name);
        if (type === undefined)
          throw this.#wrong(
            token,
            `"${printable(name)}" is not a dependency type, expected build, link, run, test or all`,
          );
        attributes.types |= type;
      }
    } else if (key === "when") {
      if (this.#around.depth >= MAX_DEPTH)
        throw this.#wrong(token, `conditions are nested more than ${MAX_DEPTH} deep`);
      attributes.when = this.#condition(token, value);
    } else throw this.#wrong(token, `an edge has no attribute ${printable(key)}, expected deptypes, virtuals or when`);
  }

  #condition(token: Token, text: string): SpecQuery {
    const around = { ...this.#around, depth: this.#around.depth + 1 };
    return this.#telling(token, () => new Parser(text, around).one());
  }

  // Points at the token if `work` fails.
  #telling<T>(token: Token, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof StaveError) throw this.#wrong(token, error.message);
      throw error;
    }
  }

  // Without a token, the text ended too early.
  #wrong(token: Token | undefined, problem: string): StaveError {
    return token
      ? syntaxError(this.#text, token.start, token.text.length, problem)
      : syntaxError(this.#text, this.#text.length, 1, problem);
  }
}

const invalid = (problem: string): StaveError => new StaveError("SPEC_INVALID", problem);

const NO_ATTRIBUTES: EdgeAttributes = { virtuals: [], types: 0, when: undefined };
