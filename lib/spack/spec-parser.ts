// Spec texts into queries: the grammar of Spack 1.x (`spec_parser.py`), which that of 0.x is a part of.
import { StaveError } from "../errors.ts";
import { printable } from "./json.ts";
import { ALL_TYPES, BUILD, LINK, RUN, TEST } from "./node.ts";
import { ANY, type QueryEdge, type SpecQuery } from "./query.ts";
import { NodeBuilder } from "./query-builder.ts";
import { merge } from "./query-merge.ts";
import { packageOfCompiler } from "./satisfies.ts";
import { syntaxError, type Token, type TokenKind, tokenize } from "./spec-lexer.ts";

/** What the reserved words `os=fe`, `target=default_target` and the like stand for. */
export interface QueryHost {
  readonly platform: string;
  readonly os?: string | undefined;
  readonly target?: string | undefined;
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

/** Reads all specs of a text; a package name starts a new one. Throws SPEC_INVALID with the column and a caret line. */
export function parseQueries(text: string, host?: QueryHost): SpecQuery[] {
  return new Parser(text, host, 0).all();
}

/** Reads exactly one spec. Throws SPEC_INVALID with the column and a caret line. */
export function parseQuery(text: string, host?: QueryHost): SpecQuery {
  return new Parser(text, host, 0).one();
}

interface EdgeAttributes {
  virtuals: readonly string[];
  types: number;
  when: SpecQuery | undefined;
}

class Parser {
  readonly #text: string;
  readonly #host: QueryHost | undefined;
  readonly #depth: number;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string, host: QueryHost | undefined, depth: number) {
    this.#text = text;
    this.#host = host;
    this.#depth = depth;
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
    const root = this.#node();
    const edges = new EdgeList();
    // The `^` whose `%` are under way, if any.
    let below: number | undefined;
    for (let sigil = this.#sigil(); sigil; sigil = this.#sigil()) {
      const direct = sigil.text.startsWith("%");
      const propagated = sigil.text.startsWith("%%");
      const attributes = sigil.kind === "startEdge" ? this.#attributes() : NO_ATTRIBUTES;
      const assignment = this.#tokens[this.#at - 1]?.assignment;
      const node = this.#node(assignment?.name, sigil);
      const child = direct && node.name !== undefined ? { ...node, name: packageOfCompiler(node.name) } : node;
      const virtuals = [...new Set([...attributes.virtuals, ...(assignment?.virtuals ?? [])])];
      const edge: QueryEdge = { ...attributes, direct, propagated, virtuals, child };
      try {
        if (direct && below !== undefined) edges.addBelow(below, edge);
        else {
          const at = edges.add(edge);
          if (!direct) below = at;
        }
      } catch (error) {
        if (error instanceof StaveError) throw this.#wrong(sigil, error.message);
        throw error;
      }
    }
    const first = this.#tokens[before];
    if (this.#at === before && first) throw this.#wrong(first, `"${printable(first.text)}" is not expected here`);
    return { ...root, edges: edges.list() };
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

  // `given` is the package of `virtual=package`; `sigil` is what a dependency stands behind, and must not be left alone.
  #node(given?: string, sigil?: Token): SpecQuery {
    const start = this.#at;
    const name = given ?? this.#accept("name")?.text;
    const file = name === undefined ? this.#accept("file") : undefined;
    if (file) return { ...ANY, file: file.text };
    const builder = new NodeBuilder(name, this.#host);
    for (let token = this.#tokens[this.#at]; token; token = this.#tokens[++this.#at]) {
      if (token.kind === "hash" && builder.hasHash) break;
      const problem = builder.take(token);
      if (problem === "foreign") break;
      if (problem !== undefined) throw this.#wrong(token, problem);
    }
    if (sigil && given === undefined && this.#at === start)
      throw this.#wrong(sigil, "a package name or something else to ask for must follow");
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
        throw this.#wrong(token, `"${printable(value)}" are no names of virtual packages`);
    } else if (key === "deptypes") {
      attributes.types = 0;
      for (const name of value.split(",")) {
        const type = DEPENDENCY_TYPES.get(name);
        if (type === undefined)
          throw this.#wrong(
            token,
            `"${printable(name)}" is no dependency type, expected build, link, run, test or all`,
          );
        attributes.types |= type;
      }
    } else if (key === "when") {
      if (this.#depth >= MAX_DEPTH) throw this.#wrong(token, `conditions are nested more than ${MAX_DEPTH} deep`);
      attributes.when = this.#condition(token, value);
    } else throw this.#wrong(token, `an edge has no attribute ${printable(key)}, expected deptypes, virtuals or when`);
  }

  #condition(token: Token, text: string): SpecQuery {
    try {
      return new Parser(text, this.#host, this.#depth + 1).one();
    } catch (error) {
      if (error instanceof StaveError) throw this.#wrong(token, error.message);
      throw error;
    }
  }

  // Without a token the text ended too early.
  #wrong(token: Token | undefined, problem: string): StaveError {
    return token
      ? syntaxError(this.#text, token.start, token.text.length, problem)
      : syntaxError(this.#text, this.#text.length, 1, problem);
  }
}

const NO_ATTRIBUTES: EdgeAttributes = { virtuals: [], types: 0, when: undefined };

// The dependencies of one spec. The same package asked for twice is asked for once, with all that is asked.
class EdgeList {
  readonly #edges: { edge: QueryEdge; below: EdgeList }[] = [];
  readonly #places = new Map<string, number>();

  /** Adds an edge, or merges it with one to the same package; returns its place. */
  add(edge: QueryEdge): number {
    const key = edge.child.name === undefined ? undefined : `${edge.types} ${edge.child.name}`;
    const place = key === undefined || edge.when ? undefined : this.#places.get(key);
    const known = place === undefined ? undefined : this.#edges[place];
    if (known && place !== undefined) {
      const virtuals = [...new Set([...known.edge.virtuals, ...edge.virtuals])];
      known.edge = { ...known.edge, virtuals, child: merge(known.edge.child, edge.child) };
      return place;
    }
    this.#edges.push({ edge, below: new EdgeList() });
    if (key !== undefined && !edge.when) this.#places.set(key, this.#edges.length - 1);
    return this.#edges.length - 1;
  }

  /** Adds a direct dependency of the dependency at a place. */
  addBelow(place: number, edge: QueryEdge): void {
    this.#edges[place]?.below.add(edge);
  }

  list(): QueryEdge[] {
    return this.#edges.map(({ edge, below }) => ({ ...edge, child: { ...edge.child, edges: below.list() } }));
  }
}
