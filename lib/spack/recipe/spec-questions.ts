// What a recipe may ask about specs: conditions, prefixes, versions and dependencies. A question whose answer cannot be
// known throws NotUnderstood.
import { isStaveError } from "../../errors.ts";
import { satisfies } from "../query/satisfies.ts";
import { parseQuery } from "../query/spec-parser.ts";
import type { SpecGraph, SpecNode } from "../spec/node.ts";
import { edgesOf, preOrder } from "../spec/traversal.ts";
import type { NotUnderstood } from "./python-tokens.ts";
import type { Value } from "./recipe-values.ts";

/** What a recipe's text may ask about. */
export interface RecipeWorld {
  readonly node: SpecNode;
  readonly graph: SpecGraph;
  prefixOf(node: SpecNode): string | undefined;
  /** What exists at a path; throws NotUnderstood if that cannot be known. */
  kindAt(path: string): "file" | "folder" | "other" | undefined;
  /** Whether a spec extends this one; throws NotUnderstood if that cannot be known. */
  isExtension(dependent: SpecNode): boolean;
}

/** Who asks: counts the work, which is bounded, and knows the statement. */
export interface Asker {
  step(size: number): void;
  wrong(reason: string): NotUnderstood;
}

/** How many times as long parsing a query takes as handling its text. */
const QUERY_SHARE = 32;

/** Answers questions about the specs of one world. */
export class SpecQuestions {
  readonly #world: RecipeWorld;
  readonly #asker: Asker;

  constructor(world: RecipeWorld, asker: Asker) {
    this.#world = world;
    this.#asker = asker;
  }

  /** The query that a text is. Throws NotUnderstood for other texts. */
  query(text: string): ReturnType<typeof parseQuery> {
    // A query is parsed far more slowly than a text is copied.
    this.#asker.step(text.length * QUERY_SHARE);
    try {
      return parseQuery(text);
    } catch (error) {
      if (isStaveError(error)) throw this.#asker.wrong("a condition on specs that is not understood");
      throw error;
    }
  }

  /** Python's `"name@1:+x" in spec`, which names another spec of the DAG, or nothing but this one. */
  contains(node: SpecNode, text: string): boolean {
    const query = this.query(text);
    const nodes = query.name === undefined || query.name === node.name ? [node] : preOrder([node]).slice(1);
    return nodes.some((one) => this.satisfies(one, text));
  }

  /** Whether a spec satisfies a condition. */
  satisfies(node: SpecNode, text: string): boolean {
    const query = this.query(text);
    // The versions of a virtual package are known to recipes only.
    const isVirtual = (name: string | undefined): boolean =>
      name !== undefined && preOrder([this.#world.node]).some((one) => this.#world.graph.virtualsOf(one).has(name));
    const named = [query, ...query.edges.flatMap(({ child }) => [child, ...child.edges.map((edge) => edge.child)])];
    if (named.some(({ name, versions }) => versions !== undefined && isVirtual(name)))
      throw this.#asker.wrong("a condition on the version of a virtual package");
    try {
      return satisfies(node, this.#world.graph, query);
    } catch (error) {
      if (isStaveError(error)) throw this.#asker.wrong("a condition on specs that is not understood");
      throw error;
    }
  }

  /** An attribute of a spec. */
  attribute(node: SpecNode, name: string): Value {
    if (name === "prefix") return this.prefix(node);
    if (name === "version") return { kind: "version", text: this.plainVersion(node) };
    if (name === "variants") return { kind: "variants", node };
    if (name === "name") return node.name;
    if (name === "platform") return node.platform;
    if (name === "external") return node.external !== undefined;
    if (name === "package") return { kind: "package", of: node };
    if (["satisfies", "has_virtual_dependency", "dependencies"].includes(name))
      return { kind: "method", of: { kind: "spec", node }, name };
    throw this.#asker.wrong(`the attribute ${name} of a spec`);
  }

  /** The prefix of a spec. */
  prefix(node: SpecNode): Value {
    const path = this.#world.prefixOf(node);
    if (path === undefined) throw this.#asker.wrong(`the prefix of ${node.name}, which is not installed`);
    return { kind: "prefix", path };
  }

  /** The version of a spec, which may not be one of git. */
  plainVersion(node: SpecNode): string {
    if (/[=/]|^git\.|^[0-9a-f]{40}$/.test(node.version)) throw this.#asker.wrong("a version of git");
    return node.version;
  }

  /** An attribute of a version. */
  versionAttribute(text: string, name: string): Value {
    const version = (found: string): Value => ({ kind: "version", text: found });
    if (name === "dotted") return version(text.replaceAll(/[-_]/g, "."));
    if (name === "dashed") return version(text.replaceAll(/[._]/g, "-"));
    if (name === "underscored") return version(text.replaceAll(/[.-]/g, "_"));
    if (name === "joined") return version(text.replaceAll(/[._-]/g, ""));
    if (name === "string") return text;
    if (name === "up_to") return { kind: "method", of: version(text), name };
    throw this.#asker.wrong(`the attribute ${name} of a version`);
  }

  /** Calls a method of a spec. */
  call(node: SpecNode, name: string, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value {
    const [text] = args;
    if (args.length !== 1 || keywords.size > 0 || typeof text !== "string")
      throw this.#asker.wrong(`a call of ${name}`);
    if (name === "satisfies") return this.satisfies(node, text);
    if (name === "has_virtual_dependency") return node.edges.some(({ virtuals }) => virtuals.includes(text));
    const found = edgesOf(node).filter(({ child }) => child.name === text);
    if (found.length > 1) throw this.#asker.wrong("several dependencies of one name");
    return found.map(({ child }): Value => ({ kind: "spec", node: child }));
  }
}
